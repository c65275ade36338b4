"""What there is to know of a Job in a queue from its Workload, and what is changed there. Kueue makes one for each Job with a queue.

https://kueue.sigs.k8s.io/docs/concepts/workload/
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause, JobState

ANNOTATION_DEACTIVATED: Final = "finetune.dev/deactivated"
"""On a Workload: that the operator deactivated it, for `spec.suspend`, so that it and no other deactivation is undone with that."""


@dataclass(frozen=True)
class InQueue(Cause):
    """Why a Job waits in its queue, and at which place."""

    position: int | None = None
    """Place among all that wait for the quota, from 1."""


_METADATA: Final = ("name", "uid", "resourceVersion")
_CONDITIONS: Final = ("QuotaReserved", "Evicted")
_MOST: Final = 16
"""Conditions and admission checks: Kueue allows eight of these."""
_LONGEST_TEXT: Final = 1024
_DEACTIVATION: Final = ("Deactivated", "InactiveWorkload")
"""How the reasons begin by which Kueue evicts a Workload that is deactivated, by version."""


def is_of_kueue(key: str) -> bool:
    """Whether a label or annotation is one of Kueue's, such as kueue.x-k8s.io/podset-required-topology."""
    return f".{key.partition('/')[0]}".endswith(".kueue.x-k8s.io")


def read_workload(job: JobState, raw: JsonObject) -> JsonObject | None:
    """What is read of the Workload that Kueue made for this very Job; None for any other: the label can be set by anybody.

    It may hold a megabyte, of which this is little.
    """
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    if not any(each.get("uid") == job.uid for each in metadata.get("ownerReferences") or ()):
        return None
    annotations = metadata.get("annotations") or {}
    deactivated = {ANNOTATION_DEACTIVATED: ""} if ANNOTATION_DEACTIVATED in annotations else {}
    return {
        "metadata": {**{name: metadata[name] for name in _METADATA if name in metadata}, "annotations": deactivated},
        "spec": {"active": spec.get("active") is not False},
        "status": {
            "conditions": _texts(
                (each for each in status.get("conditions") or () if each.get("type") in _CONDITIONS),
                ("type", "status", "reason", "message"),
            ),
            "admissionChecks": _texts(status.get("admissionChecks") or (), ("name", "state", "message")),
        },
    }


def _texts(items: Iterable[JsonObject], names: Sequence[str]) -> list[JsonObject]:
    """These fields of the first few of them, none of which is long."""
    first = islice(items, _MOST)
    return [{name: str(each[name])[:_LONGEST_TEXT] for name in names if each.get(name)} for each in first]


def activation(workload: JsonObject, *, suspend: bool) -> JsonObject | None:
    """The merge patch that makes Kueue hold back a Job which its user suspends, or admit it again; None where nothing is to change.

    Kueue starts a suspended Job as long as its Workload is admitted, or once it is: it has to be deactivated, which evicts it.
    """
    metadata = workload["metadata"]
    ours = ANNOTATION_DEACTIVATED in (metadata.get("annotations") or {})
    if not (is_active(workload) if suspend else ours):
        return None
    # The version is a precondition: whoever deactivates it meanwhile meant it.
    same = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    mark = {ANNOTATION_DEACTIVATED: "spec.suspend" if suspend else None}
    return {"metadata": {**same, "annotations": mark}, "spec": {"active": not suspend}}


def is_active(workload: JsonObject) -> bool:
    """Whether Kueue may admit it."""
    return (workload.get("spec") or {}).get("active") is not False


def why_in_queue(workload: JsonObject, queue: str, places: Mapping[str, int]) -> InQueue:
    """What its Workload says of a Job that waits. `places` are of those that wait in its queue: see `read_places`."""
    name, status = workload["metadata"]["name"], workload.get("status") or {}
    if not is_active(workload):
        what = f"the Workload {name} is deactivated: set its spec.active to true to have it queued again"
        return InQueue(Reason.WORKLOAD_DEACTIVATED, what)
    if _condition(status, "QuotaReserved", "True") is not None:
        return InQueue(Reason.WAITING_FOR_ADMISSION, f"quota is reserved in the queue {queue}; {_checks(status)}")
    position = places.get(name)
    where = f"waiting for quota in the queue {queue}" + (f", at place {position}" if position else "")
    eviction = _condition(status, "Evicted", "True")
    if eviction is not None and str(eviction.get("reason")).startswith(_DEACTIVATION):
        eviction = None  # It is active again, and Kueue takes this away only with the next admission.
    evicted = _said(eviction, with_reason=True)
    said = "; ".join(
        filter(None, [evicted and f"evicted: {evicted}", _said(_condition(status, "QuotaReserved", "False"))])
    )
    return InQueue(Reason.WAITING_FOR_QUOTA, f"{where}: {said}" if said else where, position=position)


def read_places(pending: Iterable[JsonObject]) -> dict[str, int]:
    """The place of each Workload, by its name, among all that wait for the quota, of those that Kueue's visibility API lists of a queue.
    Kueue counts from 0."""
    named = (((each.get("metadata") or {}).get("name"), each.get("positionInClusterQueue")) for each in pending)
    return {str(name): place + 1 for name, place in named if name and isinstance(place, int) and place >= 0}


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
