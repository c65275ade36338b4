"""The Event that announces a new phase which somebody may wait for, or a new reason why a job waits or is about to stop; and the one that
says who could not be told of the end."""

from datetime import datetime
from typing import Final

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_api.values import MAX_MESSAGE, format_time
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import MANAGER

_ON_ITS_WAY: Final = frozenset(
    {
        Reason.WAITING_FOR_POD,
        Reason.CONTAINER_CREATING,
        Reason.PREFLIGHT,
        Reason.PREFLIGHT_PASSED,
        Reason.PREPARING,
        Reason.TRAINING,
        Reason.EVALUATING,
        Reason.SAVING,
        Reason.EXPORTING,
        Reason.FINISHED,
        Reason.FINISHING,
        Reason.STOPPING,
        Reason.SUSPENDED,
        Reason.SUCCEEDED,
    }
)
"""Reasons of conditions with which nothing is in a job's way: the phase says as much."""
_NO_TROUBLE: Final = frozenset(
    {Reason.WAITING_FOR_QUOTA, Reason.WAITING_FOR_ADMISSION, Reason.RESUMING, Reason.NEW_RUN, Reason.ENDING_FORMER_RUN}
)


def job_event(finetunejob: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> JsonObject | None:
    """The Event for a change from the job's status to `status`, or None where phase and reason say the same as before."""
    before, reason = _reason(finetunejob.status), _reason(status)
    if status.phase is None or (status.phase == finetunejob.status.phase and reason in (before, *_ON_ITS_WAY)):
        return None
    if status.phase in ("Pending", "Preparing") and reason in _ON_ITS_WAY:
        return None  # On the way to phases that somebody may wait for.
    shown = status.failure.reason if status.failure else status.phase if reason in _ON_ITS_WAY else reason
    trouble = status.failure is not None or reason not in _ON_ITS_WAY | _NO_TROUBLE
    return _event(finetunejob, "Warning" if trouble else "Normal", shown, status.message or status.phase, now)


def notification_event(finetunejob: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> JsonObject | None:
    """The Event that says who could not be told of the end, where that is given up by a change to `status`."""
    before = {each.target for each in finetunejob.status.notifications if each.state == "GivenUp"}
    lost = [each for each in status.notifications if each.state == "GivenUp" and each.target not in before]
    if not lost:
        return None
    words = "; ".join(f"{each.target} is not told after {each.attempts} attempts: {each.message}" for each in lost)
    return _event(finetunejob, "Warning", Reason.NOTIFICATION_FAILED, words[:MAX_MESSAGE], now)


def contest_event(finetunejob: FineTuneJob, now: datetime) -> JsonObject:
    """The Event that says that this operator leaves the job to somebody else, who writes its status."""
    words = (
        "somebody else writes the job's status, such as another installation of the operator: this one stands back; let one of them "
        "serve the namespace (watchNamespaces)"
    )
    return _event(finetunejob, "Warning", Reason.STATUS_CONTESTED, words, now)


def _event(finetunejob: FineTuneJob, kind: str, reason: str, message: str, now: datetime) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": finetunejob.names.event,
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


def _reason(status: FineTuneJobStatus) -> str:
    """That of the condition Ready, which has the reason of the phase."""
    return next((each.reason for each in status.conditions if each.type == "Ready"), "")
