"""A preflight in a pod of its own: its Job and pod as the API holds them, and what they end with."""

from typing import Any

from tests.unit.finetune_operator.controller.world import OWNED
from tests.unit.finetune_operator.samples import (
    job,
    merged,
    observation,
)

from finetune_api.report import FinalReport
from finetune_operator.job.names import preflight_job_name
from finetune_operator.job.observation import Observation

NAME = preflight_job_name("yelp")
POD_POLICY: dict[str, Any] = {"runPolicy": {"preflight": "pod"}}
TABLE = {
    "trainRows": 1000,
    "steps": 375,
    "batchSize": 8,
    "parameters": 108_000_000,
    "trainedParameters": 108_000_000,
    "device": "GPU",
    "memory": {"weights": 1, "gradients": 1, "optimizer": 1, "activations": 1, "checkpoint": 1, "total": 3 * 2**30},
}
WARNING = {"reason": "EmptyTexts", "message": "column 'text' is empty in row 3"}
REPORT = {"sequence": 3, "stage": "Preparing", "message": "tokenizing 1000 rows of split train", "preflight": TABLE}
PASSED = FinalReport.model_validate({"exitCode": 0, "preflight": TABLE, "warnings": [WARNING]}).to_termination_message()
MISTAKE = {"reason": "ColumnNotFound", "message": "there is no column 'txt'", "hint": "columns are text, label"}
FAILED = FinalReport.model_validate({"exitCode": 11, "failure": {**MISTAKE, "exitCode": 11}}).to_termination_message()
ENDED = {"Complete": ("Complete", "", ""), "Failed": ("Failed", "PodFailurePolicy", "exit code 11")}


def checking_job(**others: Any) -> dict[str, Any]:
    """The preflight's Job, as the API holds it."""
    return merged(merged(job(name=NAME, **others), OWNED), {"metadata": {"uid": "preflight-uid"}})


def checked(*pods: dict[str, Any], report: Any = None, **others: Any) -> Observation:
    """What is observed while there is a preflight and no Job that trains."""
    return Observation(preflight=observation(checking_job(**others), *pods, report=report))


def folders(made: dict[str, Any]) -> dict[str, bool]:
    """Each claim that is mounted, and whether it is written to."""
    spec = made["spec"]["template"]["spec"]
    claims = {each["name"]: each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each}  # fmt: skip
    mounts = {
        each["name"]: not each["readOnly"] for each in spec["containers"][0]["volumeMounts"] if "readOnly" in each
    }
    return {claim: mounts[name] for name, claim in claims.items()}
