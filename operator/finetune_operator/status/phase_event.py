"""The Event that announces a new phase, or that a training does not move."""

from datetime import datetime

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus, format_time
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import MANAGER, child_name


def phase_event(finetunejob: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> JsonObject | None:
    """The Event for a change from the job's status to `status`, or None where there is nothing to announce."""
    if status.phase is None:
        return None
    if is_still(status) and not is_still(finetunejob.status):
        return _event(finetunejob, "Warning", Reason.NOT_MOVING, status.message or "", now)
    if status.phase == finetunejob.status.phase:
        return None
    kind, reason = ("Warning", status.failure.reason) if status.failure else ("Normal", status.phase)
    return _event(finetunejob, kind, reason, status.message or status.phase, now)


def is_still(status: FineTuneJobStatus) -> bool:
    """Whether the status says that the training does not move."""
    return any(each.type == "Running" and each.reason == Reason.NOT_MOVING for each in status.conditions)


def _event(finetunejob: FineTuneJob, kind: str, reason: str, message: str, now: datetime) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": child_name(finetunejob.name) + ".",
            "namespace": finetunejob.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": finetunejob.namespace,
            "name": finetunejob.name,
            "uid": finetunejob.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
        "firstTimestamp": format_time(now),
        "lastTimestamp": format_time(now),
        "count": 1,
    }
