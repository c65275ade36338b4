"""Kubernetes Events: written for people, and read for the warnings that explain why no pod comes."""

import logging

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause
from finetune_operator.job.parse_children import parse_time
from finetune_operator.job.warnings import Subject, Warned
from finetune_operator.kube.client import EVENTS, Kube
from finetune_operator.kube.errors import API_FAILURES

logger = logging.getLogger(__name__)


async def post(kube: Kube, event: JsonObject) -> None:
    """Send an Event. It is for people to read, so a failure costs no more than a line in the log."""
    try:
        await kube.create(EVENTS, event)
    except API_FAILURES as error:
        logger.warning("an Event was lost: %s", type(error).__name__)


def parse_warning(event: JsonObject, subject: Subject) -> Warned | None:
    """Read an Event, be it of the older form, as kubelet's, or of events.k8s.io, as the scheduler's. None without a time."""
    series, seen = event.get("series") or {}, parse_time(time_of(event))
    if seen is None:
        return None
    times = series.get("count") or event.get("count") or 1
    cause = Cause(event.get("reason") or Reason.WARNING, event.get("message") or "")
    return Warned(subject, cause, seen, times if isinstance(times, int) else 1)


def time_of(event: JsonObject) -> str:
    """When an Event last came, as it says it."""
    observed = (event.get("series") or {}).get("lastObservedTime")
    return str(observed or event.get("lastTimestamp") or event.get("eventTime") or "")
