"""A pod that reports as much as it may does not make the status large, and keeps what is needed to resume."""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import at, job, observation, parsed, pod, received, running

from finetune_api.report import MAX_REPORT_BYTES
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute

CLAIM = "pvc://yelp-0f9be1d4"


def report(name: str, digits: int, tail: int) -> dict[str, Any]:
    """With all lists as long as they may be; `name` is that of a metric, numbers and places have this length."""
    metrics = [{"name": f"{number}{name}"[:64], "value": "1" * digits} for number in range(8)]
    places = [f"{CLAIM}/{'c' * tail}{step:02}" for step in range(20)]
    return {
        "sequence": 1,
        "stage": "Training",
        "metrics": metrics,
        "evaluations": [{"step": step, "epoch": "1.0", "metrics": metrics} for step in range(20)],
        "checkpoints": [{"step": step, "uri": uri, "metrics": metrics} for step, uri in enumerate(places)],
        "bestCheckpoint": {"step": 3, "uri": places[3], "metric": "eval_loss", "value": "1"},
        "warnings": [{"reason": "EmptyTexts", "message": "w" * 400}] * 16,
    }


def written(told: dict[str, Any], before: Any = None) -> dict[str, Any]:
    given = parsed() if before is None else parsed(before)
    observed = observation(job(), pod(state=running()), report=received({"report": told}))
    return to_manifest(compute(given, observed, at(60)).status)


def test_what_the_trainer_reports_at_most_is_kept_whole() -> None:
    told = {**report("eval_accurac", 6, 22), "warnings": []}

    status = written(told)

    assert (len(status["evaluations"]), len(status["checkpoints"])) == (20, 20)
    assert all(len(each["metrics"]) == 8 for each in (*status["evaluations"], *status["checkpoints"]))


@pytest.mark.parametrize(
    ("name", "digits", "tail"), [("x" * 64, 32, 100), ("é" * 64, 32, 500), ("\N{EXTRATERRESTRIAL ALIEN}" * 63, 1, 10)]
)
def test_what_is_more_is_left_out_the_least_important_first(name: str, digits: int, tail: int) -> None:
    told = report(name, digits, tail)
    in_parts = [{**told, "checkpoints": []}, {**told, "evaluations": [], "sequence": 2}]
    status: Any = None

    for part in in_parts:
        assert len(json.dumps(part, ensure_ascii=False).encode()) <= MAX_REPORT_BYTES
        status = written(part, status)

    assert len(json.dumps(status, ensure_ascii=False).encode()) <= 24 * 1024
    assert status["latestCheckpoint"] == {"step": 19, "uri": told["checkpoints"][-1]["uri"]}
    assert status["bestCheckpoint"]["uri"] == told["bestCheckpoint"]["uri"]
