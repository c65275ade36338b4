"""FineTuneJobs as somebody would write them who means harm: an API server takes some and refuses the others."""

import json
import random
import string
from collections.abc import Iterator
from typing import Any

import yaml
from tests.integration.fixtures import ROOT, finetunejob

_CRD = yaml.load((ROOT / "crds" / "finetunejobs.yaml").read_text(), Loader=yaml.CSafeLoader)
_SPEC = _CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
_TEXTS = [
    "a",
    "x" * 256,
    "\u202egnp.exe",
    "\u0301" * 100,
    "\U000e0041",
    "日本語",
    "' || true || '",
    "{{ 7 }}{% for a in range(9) %}",
    "$(HF_TOKEN)",
    "%s%n%d",
    "-",
    "0",
    "1e999",
    "null",
    "${jndi:ldap://x}",
    "a.b.c",
    "train[:1%]+train[99%:]",
    "(a+)+$",
]
_SOURCES = [
    "https://127.0.0.1/x.csv",
    "https://169.254.169.254/latest/meta-data",
    "https://user.example/" + "a" * 400,
    "pvc://seed/" + "a/" * 200,
    "pvc://" + "c" * 253,
    "s3://b/a::file:///etc/passwd",
    "file:///var/run/secrets/finetune",
    "file:///proc/self/environ",
    "hf://datasets/a/b",
    "a" * 90 + "/" + "b" * 90,
]
_ENV = [{"name": f"HF_{number}", "value": "v" * 200} for number in range(60)]
_SELECTOR = {"matchLabels": {f"k{number}": "v" * 63 for number in range(4)}}
_PARTS: list[dict[str, Any]] = [
    {"model": {"source": source}, "dataset": {"source": source, "train": {"split": "train"}}} for source in _SOURCES
]
_PARTS += [
    {"training": {"arguments": {f"a{number}": "x" * 100 for number in range(60)}}},
    {"training": {"arguments": {"a": 1e308, "b": -(2**53), "c": [1, 2, 3], "d": {"k": "v"}, "e": True}}},
    {"training": {"learningRate": 5e-324, "epochs": 1e-9}},
    {"pod": {"env": _ENV}},
    {"pod": {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s" * 253, "key": "k" * 253}}}]}},
    {"pod": {"labels": {f"example.com/{number}": "v" * 63 for number in range(20)}}},
    {"pod": {"annotations": {f"example.com/{number}": "\u202e\x1b[2J" * 40 for number in range(20)}}},
    {"pod": {"tolerations": [{"key": f"k{number}", "operator": "Exists"} for number in range(16)]}},
    {"pod": {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": _SELECTOR}] * 4}},
    {"pod": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": _SELECTOR, "topologyKey": "zone"}] * 4}}}},
    {"pod": {"volumes": [{"name": f"v{number}", "configMap": {"name": "none"}} for number in range(8)], "volumeMounts": [{"name": f"v{number}", "mountPath": f"/mnt/{number}"} for number in range(8)]}},
    {"pod": {"volumes": [{"name": "s", "secret": {"secretName": "finetune-x"}}], "volumeMounts": [{"name": "s", "mountPath": "/mnt/s"}]}},
    {"pod": {"labels": {"kueue.x-k8s.io/queue-name": "stranger", "kueue.x-k8s.io/priority-class": "top"}}},
    {"pod": {"serviceAccountName": "admin", "priorityClassName": "system-node-critical", "image": "evil"}},
    {"resources": {"gpus": 8, "nodes": 64, "cpu": "1e3", "memory": "9Ei"}},
    {"resources": {"cpu": "1n", "memory": "1"}},
    {"output": {"uri": "hf://a/b"}},
    {"output": {"uri": "pvc://seed/model"}},
    {"output": {"size": "1n", "storageClassName": "none"}},
    {"runPolicy": {"activeDeadlineSeconds": 1, "backoffLimit": 0, "ttlSecondsAfterFinished": 0}},
    {"runPolicy": {"preflight": "Required", "progressDeadlineSeconds": 60}},
    {"runToken": "t" * 63},
    {"suspend": True},
    {"profile": "none"},
    {"managedBy": "evil.example/controller"},
    {"unknown": {"field": [[[]]]}},
]  # fmt: skip


def hostile_objects(seed: int, victim: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects without end. `victim` is a FineTuneJob of another namespace, which some of them name as theirs."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        raw = finetunejob(_name(chance, number))
        for part in chance.sample(_PARTS, chance.choice([0, 1, 1, 2])):
            for section, value in part.items():
                there = raw["spec"].get(section)
                both = isinstance(there, dict) and isinstance(value, dict)
                raw["spec"][section] = {**there, **value} if both else value
        for _ in range(chance.choice([0, 0, 1, 3])):
            _put(chance, raw["spec"], _SPEC)
        raw["spec"].setdefault("pod", {})["nodeSelector"] = {"example.com/nowhere": "here"}
        for field, value in chance.sample(sorted(_metadata(victim).items()), chance.choice([0, 1, 2])):
            raw["metadata"][field] = value
        raw["status"] = {"phase": "Succeeded"}
        yield raw


def _metadata(victim: dict[str, Any]) -> dict[str, Any]:
    owner = {"apiVersion": victim["apiVersion"], "kind": "FineTuneJob", "name": victim["metadata"]["name"]}
    return {
        "finalizers": ["evil.example/stays"],
        "labels": {
            "finetune.dev/job-uid": victim["metadata"]["uid"],
            "finetune.dev/job-name": victim["metadata"]["name"],
            "kueue.x-k8s.io/queue-name": "stranger",
            **{f"example.com/{number}": "v" * 63 for number in range(40)},
        },
        "annotations": {
            "finetune.dev/proof": "0" * 32,
            "finetune.dev/requested": "[" * 5000,
            "finetune.dev/deactivated": "true",
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"a": "\u202e\x07" * 2000}),
            "example.com/large": "x" * 50_000,
        },
        # Its owner is in another namespace: a garbage collector takes such an object away, sooner or later.
        "ownerReferences": [{**owner, "uid": victim["metadata"]["uid"], "controller": True}],
    }


def _name(chance: random.Random, number: int) -> str:
    word = "".join(chance.choices(string.ascii_lowercase + string.digits, k=8))
    return chance.choice(
        [
            f"{word}-{number}",
            f"{word}-{number}-" + "x" * 200,
            f"{word}.{number}.example.com",
            f"{number}",
            f"ft-{word}-{number}-preflight",
            f"{word}-{number}-" + "0" * 40,
        ]
    )


def _put(chance: random.Random, value: dict[str, Any], schema: dict[str, Any]) -> None:
    """Put something that the schema may let through somewhere below."""
    name = chance.choice(sorted(schema["properties"]))
    inner = schema["properties"][name]
    if inner.get("properties") and chance.random() < 0.8:
        there = value.get(name)
        value[name] = dict(there) if isinstance(there, dict) else {}
        _put(chance, value[name], inner)
    else:
        value[name] = _any_of(chance, inner)


def _any_of(chance: random.Random, schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return chance.choice([0, 1, "1", "1e9", "9Ei", "1n"])
    match schema.get("type"):
        case "object" if schema.get("properties"):
            names = {*schema.get("required", ()), *chance.sample(sorted(schema["properties"]), 1)}
            return {name: _any_of(chance, schema["properties"][name]) for name in sorted(names)}
        case "object":
            return {chance.choice(["a", "example.com/a", "\u202e"]): chance.choice(["v", "", "\x00"])}
        case "array":
            return [_any_of(chance, schema["items"]) for _ in range(chance.choice([0, 1, 3]))]
        case "integer" | "number":
            least, most = schema.get("minimum", -(2**53)), schema.get("maximum", 2**53)
            return chance.choice([least, most, 0, 1])
        case "boolean":
            return chance.random() < 0.5
        case _:
            return chance.choice(_TEXTS)
