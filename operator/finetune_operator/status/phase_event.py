"""The Event that announces a new phase."""

from datetime import datetime

from finetune_api.base import JsonObject
from finetune_api.status import FineTuneJobStatus, format_time
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import MANAGER, child_name


def phase_event(finetunejob: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> JsonObject | None:
    """The Event for a change from the job's status to `status`, or None where the phase stays."""
    if status.phase is None or status.phase == finetunejob.status.phase:
        return None
    failed = status.failure is not None
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
        "type": "Warning" if failed else "Normal",
        "reason": status.failure.reason if status.failure else status.phase,
        "message": status.message or status.phase,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
        "firstTimestamp": format_time(now),
        "lastTimestamp": format_time(now),
        "count": 1,
    }
