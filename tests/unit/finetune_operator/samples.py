"""Objects as an API server holds them, with no more in them than a test needs."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_api.profile import OPEN, FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.report import ReportBody
from finetune_api.status import AppliedProfile
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob, Key, parse_finetunejob
from finetune_operator.job.names import ANNOTATION_PROOF
from finetune_operator.job.observation import Observation
from finetune_operator.job.parse_children import parse_job, parse_pods
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.profile import apply_profile
from finetune_operator.job.proof import job_proof, prove_profile
from finetune_operator.job.report import Received
from finetune_operator.manifests import build_children
from finetune_operator.manifests.run_file import ANNOTATION_RUN

UID = "0f9be1d4-56ac-4d0f-9a3e-5ad1d5e9c001"
PROOF_KEY = b"the operator's own"
START = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)

SPEC: dict[str, Any] = {
    "task": "text-classification",
    "model": {"source": "google-bert/bert-base-cased"},
    "dataset": {
        "source": "Yelp/yelp_review_full",
        "train": {"split": "train", "samples": 1000},
        "evaluation": {"split": "test"},
    },
    "evaluation": {"metrics": ["accuracy"], "bestMetric": "accuracy"},
}


def settled(profile: FineTuneProfileSpec = OPEN) -> dict[str, Any]:
    """The status of a job that has a profile, and nothing else yet."""
    request = Request(FineTuneJobSpec.model_validate(SPEC), "yelp", "team-a", {})
    applied = apply_profile(request, None, profile)
    assert isinstance(applied, AppliedProfile)
    return {"profile": prove_profile(applied, UID, 1, PROOF_KEY).to_wire()}


def at(seconds: float) -> datetime:
    """So many seconds after START."""
    return START + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    """`at` as Kubernetes writes it."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` in it, as a JSON merge patch."""
    result = deepcopy(base)
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result


def finetunejob(status: Any = None, name: str = "yelp", **spec: Any) -> dict[str, Any]:
    """A FineTuneJob; `spec` is merged into SPEC."""
    raw: dict[str, Any] = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "uid": UID,
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": stamp(0),
        },
        "spec": merged(SPEC, spec),
    }
    return raw if status is None else {**raw, "status": status}


def parsed(status: Any = None, **spec: Any) -> FineTuneJob:
    """A FineTuneJob as we read it."""
    return parse_finetunejob(finetunejob(status, **spec))


def job(
    *, suspend: bool = False, start: float | None = 1, end: tuple[str, str, str] | None = None, name: str = "yelp"
) -> dict[str, Any]:
    """A batch/v1 Job that the operator made. `end` is type, reason and message of its last condition, which came at second 100."""
    status: dict[str, Any] = {} if start is None else {"startTime": stamp(start)}
    if end is not None:
        kind, reason, message = end
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        status["conditions"] = [{**condition, "lastTransitionTime": stamp(100)}]
        if kind == "Complete":
            status["completionTime"] = stamp(100)
    return {
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "uid": "job-uid",
            "creationTimestamp": stamp(0),
            "annotations": {ANNOTATION_PROOF: job_proof(name, UID, PROOF_KEY)},
        },
        "spec": {"suspend": suspend},
        "status": status,
    }


def pod(
    number: int = 1, *, state: dict[str, Any] | None = None, node: str | None = "n1", **status: Any
) -> dict[str, Any]:
    """The pod of attempt `number`; `state` is that of its container."""
    containers = [] if state is None else [{"name": "trainer", "state": state}]
    return {
        "metadata": {
            "namespace": "team-a",
            "name": f"yelp-{number}",
            "uid": f"pod-{number}",
            "creationTimestamp": stamp(number * 10),
        },
        "spec": {"containers": [{"name": "trainer", "image": "trainer:1"}], **({"nodeName": node} if node else {})},
        "status": {"phase": "Pending", "containerStatuses": containers, **status},
    }


def member(index: int, number: int = 1, **others: Any) -> dict[str, Any]:
    """Pod `index` of those that train together in attempt `number`; `others` is as for `pod`."""
    metadata = {"name": f"yelp-{index}-{number}", "uid": f"pod-{index}-{number}"}
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    return merged(pod(number, **others), {"metadata": {**metadata, "labels": labels}})


def running(since: float = 12) -> dict[str, Any]:
    """State of a container that runs."""
    return {"running": {"startedAt": stamp(since)}}


def terminated(
    code: int, reason: str = "Error", message: str = "", *, since: float = 12, until: float = 90
) -> dict[str, Any]:
    """State of a container that has ended."""
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": stamp(since),
            "finishedAt": stamp(until),
        }
    }


def received(
    body: dict[str, Any], number: int = 1, seconds: float = 50, sender: dict[str, Any] | None = None
) -> Received:
    """A report of the pod of attempt `number`, or of `sender`."""
    metadata = (sender or pod(number))["metadata"]
    return Received(
        Key("team-a", "yelp"), metadata["name"], metadata["uid"], ReportBody.model_validate(body), at(seconds)
    )


def by_pod(*reports: Received | None) -> dict[str, Received]:
    """Reports by the uids of their pods."""
    return {report.pod_uid: report for report in reports if report is not None}


def observation(
    raw_job: dict[str, Any] | None = None, *pods: dict[str, Any], report: Received | None = None, **others: Any
) -> Observation:
    """What is observed of a job with these children."""
    return Observation(
        job=None if raw_job is None else parse_job(raw_job), pods=parse_pods(pods, by_pod(report)), **others
    )


POD_DEFAULTS = PodDefaults(image="trainer:1", reports_url="https://operator:8443", ca="PEM")
LABELS = {
    "app.kubernetes.io/name": "finetune",
    "app.kubernetes.io/component": "trainer",
    "app.kubernetes.io/managed-by": "finetune-operator",
    "finetune.dev/job-name": "yelp",
    "finetune.dev/job-uid": UID,
    "finetune.dev/run": "1",
}
OWNERS = [
    {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "name": "yelp",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": True,
    }
]


def line(status: dict[str, Any]) -> tuple[str, str, str]:
    """Phase, reason and message of a status."""
    return status["phase"], reason_of(status), status["message"]


def reason_of(status: dict[str, Any]) -> str:
    """That of the condition Ready."""
    return next(str(each["reason"]) for each in status["conditions"] if each["type"] == "Ready")


def children(given: FineTuneJob) -> Any:
    """The manifests of all children."""
    assert given.spec is not None
    return build_children(given, given.spec, POD_DEFAULTS)


def run_file_of(job: dict[str, Any]) -> str:
    """The text of the `run.yaml` that the pods of a Job have."""
    return str(job["spec"]["template"]["metadata"]["annotations"][ANNOTATION_RUN])
