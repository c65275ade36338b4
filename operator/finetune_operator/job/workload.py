"""Why a Job waits in its queue, read from its Workload. Kueue makes one for each Job with a queue.

https://kueue.sigs.k8s.io/docs/concepts/workload/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause, JobState


@dataclass(frozen=True)
class InQueue(Cause):
    """Why a Job waits in its queue, and at which place."""

    position: int | None = None
    """Place among all that wait for the quota, from 1."""


def workload_of(job: JobState, workloads: Iterable[JsonObject]) -> JsonObject | None:
    """The Workload that Kueue made for this very Job: the label can be set by anybody."""
    return next((each for each in workloads if _is_owned_by(each, job.uid)), None)


def why_in_queue(workload: JsonObject, queue: str, pending: Sequence[JsonObject]) -> InQueue:
    """What its Workload says of a Job that waits. `pending` are those that wait in its queue, as Kueue's visibility API has them."""
    name, status = workload["metadata"]["name"], workload.get("status") or {}
    if (workload.get("spec") or {}).get("active") is False:
        what = f"the Workload {name} is deactivated: set its spec.active to true to have it queued again"
        return InQueue(Reason.WORKLOAD_DEACTIVATED, what)
    if _condition(status, "QuotaReserved", "True") is not None:
        return InQueue(Reason.WAITING_FOR_ADMISSION, f"quota is reserved in the queue {queue}; {_checks(status)}")
    position = _place(name, pending)
    where = f"waiting for quota in the queue {queue}" + (f", at place {position}" if position else "")
    evicted = _said(_condition(status, "Evicted", "True"), with_reason=True)
    said = "; ".join(
        filter(None, [evicted and f"evicted: {evicted}", _said(_condition(status, "QuotaReserved", "False"))])
    )
    return InQueue(Reason.WAITING_FOR_QUOTA, f"{where}: {said}" if said else where, position=position)


def _place(name: str, pending: Sequence[JsonObject]) -> int | None:
    """Place among all that wait for the quota. Kueue counts from 0."""
    own = next((each for each in pending if (each.get("metadata") or {}).get("name") == name), {})
    place = own.get("positionInClusterQueue")
    return place + 1 if isinstance(place, int) and place >= 0 else None


def _is_owned_by(workload: JsonObject, uid: str) -> bool:
    return any(each.get("uid") == uid for each in workload["metadata"].get("ownerReferences") or ())


def _condition(status: JsonObject, kind: str, value: str) -> JsonObject | None:
    conditions: list[JsonObject] = status.get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and each.get("status") == value), None)


def _said(condition: JsonObject | None, *, with_reason: bool = False) -> str:
    if condition is None:
        return ""
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    return " ".join(
        filter(
            None, [reason if with_reason or not message else "", f"({message})" if with_reason and message else message]
        )
    )


def _checks(status: JsonObject) -> str:
    """The admission checks that have not passed."""
    open_checks = [each for each in status.get("admissionChecks") or [] if each.get("state") != "Ready"]
    if not open_checks:
        return "waiting for admission"
    named = (
        f"{each.get('name')} ({each['message']})" if each.get("message") else str(each.get("name"))
        for each in open_checks
    )
    return f"waiting for its admission checks: {', '.join(named)}"
