"""Kubernetes Events: written for people, and read for the warnings that explain why no pod comes."""

import logging
from datetime import datetime

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import format_time
from finetune_operator.job.observation import Cause
from finetune_operator.kube.client import EVENTS, Kube
from finetune_operator.kube.errors import API_FAILURES, api_message

logger = logging.getLogger(__name__)


async def post(kube: Kube, event: JsonObject) -> None:
    """Send an Event. It is for people to read, so a failure costs no more than a line in the log."""
    try:
        await kube.create(EVENTS, event)
    except API_FAILURES as error:
        logger.warning("an Event was lost: %s", type(error).__name__)


async def latest_warning(kube: Kube, namespace: str, uid: str, since: datetime) -> Cause | None:
    """The newest Warning about an object since a time, such as that a quota keeps a Job's pods from being made.

    None where Events may not be read: they explain a job, which goes on and has its status without them.
    """
    try:
        events, _ = await kube.list(EVENTS, namespace, fieldSelector=f"involvedObject.uid={uid},type=Warning")
    except ForbiddenException as error:
        logger.warning("Warnings in %s cannot be read: %s", namespace, api_message(error))
        return None
    newest = max(events, key=_seen, default=None)
    if newest is None or _seen(newest) < format_time(since).rstrip("Z"):
        return None
    return Cause(newest.get("reason") or Reason.WARNING, newest.get("message") or "")


def _seen(event: JsonObject) -> str:
    """When an Event was last seen, in UTC to the second or finer: text of which the later sorts after the earlier."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "").rstrip("Z")
