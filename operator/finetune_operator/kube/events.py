"""Kubernetes Events: ours on a change of phase, and the warnings of others that say why no pod comes."""

import logging
from datetime import datetime

import aiohttp
from kubernetes.aio.client import ApiException

from finetune_api.base import JsonObject
from finetune_api.status import FineTuneJobStatus, format_time
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import Resource
from finetune_operator.job.names import MANAGER, child_name
from finetune_operator.job.observation import Cause
from finetune_operator.kube.client import EVENTS, Kube

_log = logging.getLogger(__name__)


def phase_event(resource: Resource, status: FineTuneJobStatus, now: datetime) -> JsonObject | None:
    """The Event for a change from the resource's status to `status`, or None where the phase stays."""
    if status.phase is None or status.phase == resource.status.phase:
        return None
    failed = status.failure is not None
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": child_name(resource.key.name) + ".",
            "namespace": resource.key.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": resource.key.namespace,
            "name": resource.key.name,
            "uid": resource.uid,
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


async def post(kube: Kube, event: JsonObject) -> None:
    """Send an Event. It is for people to read, so a failure costs no more than a line in the log."""
    try:
        await kube.create(EVENTS, event)
    except (ApiException, aiohttp.ClientError, TimeoutError) as error:
        _log.warning("an Event was lost: %s", type(error).__name__)


async def latest_warning(kube: Kube, namespace: str, uid: str, since: datetime) -> Cause | None:
    """The newest Warning about an object since a time, such as that a quota keeps a Job's pods from being made."""
    events, _ = await kube.list(EVENTS, namespace, fieldSelector=f"involvedObject.uid={uid},type=Warning")
    newest = max(events, key=_seen, default=None)
    if newest is None or _seen(newest) < format_time(since).rstrip("Z"):
        return None
    return Cause(newest.get("reason") or "Warning", newest.get("message") or "")


def _seen(event: JsonObject) -> str:
    """When an Event was last seen, in UTC to the second or finer: text of which the later sorts after the earlier."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "").rstrip("Z")
