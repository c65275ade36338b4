"""Reports of a trainer, and the status that is computed of them."""

from typing import Any

from tests.unit.finetune_operator.samples import at

from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute as computed

REPORT: dict[str, Any] = {
    "sequence": 4,
    "stage": "Training",
    "resumedFromStep": 0,
    "progress": {
        "step": 140,
        "totalSteps": 375,
        "epoch": "1.12",
        "percent": 37,
        "etaSeconds": 312,
        "samplesPerSecond": "84.1",
    },
    "metrics": [{"name": "loss", "value": "1.2034"}, {"name": "eval_accuracy", "value": "0.5810"}],
    "evaluations": [{"step": 125, "epoch": "1.0", "metrics": [{"name": "eval_accuracy", "value": "0.5810"}]}],
    "curves": {
        "stepsPerEpoch": "125",
        "training": {"steps": "70 140", "series": [{"name": "loss", "values": "1.6 1.2034"}]},
        "evaluation": {"steps": "125", "series": [{"name": "eval_accuracy", "values": "0.581"}]},
    },
    "checkpoints": [
        {"step": 125, "epoch": "1.0", "uri": "pvc://yelp-0f9be1d4/checkpoints/step-000125", "sizeBytes": 10}
    ],
    "bestCheckpoint": {
        "step": 125,
        "uri": "pvc://yelp-0f9be1d4/checkpoints/step-000125",
        "metric": "eval_accuracy",
        "value": "0.5810",
    },
    "adjustments": [{"step": 3, "reason": "CudaOutOfMemory", "message": "batches of 4 rows for 8"}],
    "provenance": {"modelRevision": "abc", "datasetRevision": "def", "datasetFingerprint": "123"},
}
FINAL: dict[str, Any] = {
    "exitCode": 0,
    "resumedFromStep": 0,
    "progress": {"step": 375, "totalSteps": 375, "epoch": "3.0", "percent": 100, "etaSeconds": 0},
    "metrics": [{"name": "loss", "value": "0.5234"}, {"name": "eval_accuracy", "value": "0.9100"}],
    "evaluations": [{"step": 375, "epoch": "3.0", "metrics": [{"name": "eval_accuracy", "value": "0.9100"}]}],
    "checkpoints": [{"step": 375, "epoch": "3.0", "uri": "pvc://yelp-0f9be1d4/checkpoints/step-000375"}],
    "model": {"uri": "pvc://yelp-0f9be1d4/model", "sizeBytes": 9},
}


def compute(given: Any, observed: Any, seconds: float = 60) -> dict[str, Any]:
    return to_manifest(computed(given, observed, at(seconds)).status)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    """Reason of each condition that is true."""
    return {each["type"]: each["reason"] for each in status["conditions"] if each["status"] == "True"}
