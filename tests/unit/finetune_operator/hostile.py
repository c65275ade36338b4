"""Reports as somebody would send them who means harm, or knows no better: valid ones of which some part is not."""

import json
import random
from collections.abc import Iterator
from typing import Any

CLAIM = "pvc://yelp-0f9be1d4"
"""The output of the job of `samples`."""

_METRICS = [{"name": "loss", "value": "1.25"}, {"name": "eval_accuracy", "value": "0.58"}]
_STATE: dict[str, Any] = {
    "progress": {
        "step": 140,
        "totalSteps": 375,
        "epoch": "1.12",
        "percent": 37,
        "etaSeconds": 312,
        "samplesPerSecond": "84.1",
        "lastReportTime": "2026-11-20T12:00:00Z",
    },
    "metrics": _METRICS,
    "evaluations": [{"step": 125, "epoch": "1.0", "metrics": _METRICS}],
    "checkpoints": [
        {
            "step": 125,
            "epoch": "1.0",
            "uri": f"{CLAIM}/checkpoints/step-000125",
            "sizeBytes": 10,
            "digest": "sha256:" + "0" * 64,
            "metrics": _METRICS,
            "time": "2026-11-20T12:00:00Z",
        }
    ],
    "bestCheckpoint": {"step": 125, "uri": f"{CLAIM}/checkpoints/step-000125", "metric": "eval_loss", "value": "0.5"},
    "model": {"uri": f"{CLAIM}/model", "digest": "sha256:" + "0" * 64, "sizeBytes": 9},
    "adjustments": [{"step": 3, "reason": "CudaOutOfMemory", "message": "batches of 4 rows for 8"}],
    "warnings": [{"reason": "EmptyTexts", "message": "row 3"}],
    "preflight": {
        "trainRows": 9,
        "steps": 375,
        "batchSize": 8,
        "parameters": 7,
        "trainedParameters": 7,
        "classCount": 1,
        "classes": [{"name": "good", "rows": 3}],
        "lengths": {"median": 3, "p95": 4, "longest": 5, "limit": 6, "atLimit": "0.2"},
        "device": "cuda",
        "memory": {"weights": 1, "gradients": 1, "optimizer": 1, "activations": 1, "total": 4, "available": 9},
        "outputBytes": 9,
    },
    "resumedFromStep": 0,
    "provenance": {"modelRevision": "abc", "image": "i", "versions": {"torch": "2"}, "seed": 42},
}
_FAILURE = {"reason": "LossNotFinite", "message": "m", "hint": "h", "exitCode": 14, "logTail": "a\nb"}
_REPORT: dict[str, Any] = {"report": {"sequence": 7, "stage": "Training", "message": "m", **_STATE}}
_STOCK: dict[str, Any] = {
    "trainerStatus": {"progressPercentage": 37, "estimatedRemainingSeconds": 312, "metrics": _METRICS}
}
_FINAL: dict[str, Any] = {"exitCode": 14, "failure": _FAILURE, **_STATE}

_TIMES = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1970-01-01T00:00:00+23:59",
    "8999-12-31T23:59:59-23:59",
    "1969-12-31T23:59:59Z",
    "2026-11-20T12:00:00",
    "2026-11-20T12:00:00+99:99",
    "2026-11-20T24:00:00Z",
    "2026-02-30T00:00:00Z",
    "1e9",
    "-62135596800",
]
_TEXTS = [
    "",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "a\nINFO all is well",
    "\u200b\ufeff\u2066",
    "\U000e0041",
    "日本語",
    "a" * 5000,
    "\u0301" * 300,
    "' || true",
    "{{ 7 }}",
    "%s%n%d",
    "s3://attacker/model",
    f"{CLAIM}/../../other",
    f"{CLAIM}x/model",
    f"{CLAIM}/%2e%2e/x",
    "NaN",
    "-inf",
    "1e400",
    "0x1F",
    "１２",
    "sha256:" + "0" * 63,
    "sha256:" + "0" * 64 + "\n",
    "Reason\n",
]
# Raw JSON, which no encoder of ours would write.
_RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e-400",
    "9" * 400,
    "9" * 5000,
    "-" + "9" * 400,
    "9007199254740993",
    "9223372036854775808",
    "-1",
    "0.1",
    "1.0",
    "-0.0",
    "true",
    "null",
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    "[" * 200 + "]" * 200,
    '{"a":' * 200 + "1" + "}" * 200,
    "[]",
    "{}",
    "[[]]",
    '[{"step": 1}]',
    "[" + ",".join(['{"name": "m", "value": "1"}'] * 300) + "]",
    '{"a": 1, "a": 2}',
]
_BODIES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 60_000,
    b'{"report":' * 5_000,
    b'"' + b"\\" * 60_000,
    b"{" + b'"a":1,' * 9_000 + b'"b":2}',
    b"nul",
    b"1e999999999",
    b"-",
]
_MARK = "\u0001raw\u0001"


def bodies(seed: int, count: int) -> Iterator[bytes]:
    """Bodies of requests."""
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.02:
            yield chance.choice(_BODIES)
        else:
            yield _changed(chance, chance.choice([_REPORT, _REPORT, _STOCK])).encode("utf-8", "surrogatepass")


def final_words(seed: int, count: int) -> Iterator[str]:
    """Termination messages."""
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.1:
            yield chance.choice(_TEXTS + _RAW)
        else:
            yield _changed(chance, _FINAL)


def _changed(chance: random.Random, good: dict[str, Any]) -> str:
    value = json.loads(json.dumps(good))
    raw = []
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3, 8])):
        _put(chance, value, raw)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    for each in raw:
        text = text.replace(json.dumps(_MARK), each, 1).replace(f'"{_MARK}"', each, 1)
    return text if chance.random() < 0.98 else text[: chance.randrange(len(text))]


def _put(chance: random.Random, value: Any, raw: list[str]) -> None:
    """Put something somewhere."""
    place = value
    while True:
        key = chance.choice(sorted(place)) if isinstance(place, dict) else chance.randrange(len(place))
        if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        break
    match chance.randrange(6):
        case 0:
            place[key] = chance.choice(_TIMES)
        case 1 | 2:
            place[key] = chance.choice(_TEXTS)
        case 3:
            raw.append(chance.choice(_RAW))
            place[key] = _MARK
        case 4:
            place[key] = [place[key]] * chance.choice([0, 2, 33])
        case _ if isinstance(place, dict):
            place[chance.choice(_TEXTS)] = place.pop(key)
        case _:
            del place[key]
    if not place:
        value["x"] = 1
