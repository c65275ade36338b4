"""Kubernetes Events: written for people, and read for the warnings that explain why no pod comes."""

import logging

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause, parse_time
from finetune_operator.job.warnings import Subject, Warned
from finetune_operator.kube.client import EVENTS, Kube
from finetune_operator.kube.errors import API_FAILURES, api_message

logger = logging.getLogger(__name__)


async def post(kube: Kube, event: JsonObject) -> None:
    """Send an Event. It is for people to read, so a failure costs no more than a line in the log."""
    try:
        await kube.create(EVENTS, event)
    except API_FAILURES as error:
        logger.warning("an Event was lost: %s", type(error).__name__)


async def warnings_about(kube: Kube, namespace: str, subject: Subject) -> list[Warned]:
    """The Warnings about an object, such as that a quota keeps a Job's pods from being made.

    None of them where Events may not be read: they explain a job, which goes on and has its status without them.
    """
    fields = {"uid": subject.uid} if subject.uid else {"kind": subject.kind, "name": subject.name}
    selector = ",".join([*(f"involvedObject.{name}={value}" for name, value in fields.items()), "type=Warning"])
    try:
        events, _ = await kube.list(EVENTS, namespace, fieldSelector=selector)
    except ForbiddenException as error:
        logger.warning("Warnings in %s cannot be read: %s", namespace, api_message(error))
        return []
    return [warned for event in events if (warned := parse_warning(event, subject)) is not None]


def parse_warning(event: JsonObject, subject: Subject) -> Warned | None:
    """Read an Event, be it of the older form, as kubelet's, or of events.k8s.io, as the scheduler's. None without a time."""
    series = event.get("series") or {}
    seen = parse_time(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime"))
    if seen is None:
        return None
    times = series.get("count") or event.get("count") or 1
    cause = Cause(event.get("reason") or Reason.WARNING, event.get("message") or "")
    return Warned(subject, cause, seen, times if isinstance(times, int) else 1)
