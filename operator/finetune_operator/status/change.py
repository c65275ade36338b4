"""How a new status differs from the one before, as both are written."""

from dataclasses import dataclass
from typing import Final

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus


def checked(before: FineTuneJobStatus, after: FineTuneJobStatus) -> FineTuneJobStatus:
    """The new status, of which what differs is checked: copies with changes are not, and the rest was. Raises ValidationError."""
    names = _changed(before, after)
    if not names:
        return before
    valid = FineTuneJobStatus.model_validate(after.to_wire(names))
    return before.model_copy(update={name: getattr(valid, name) for name in names})


def are_alike(one: FineTuneJobStatus, other: FineTuneJobStatus) -> bool:
    """Whether two statuses are the same where they are written."""
    # One by one: the first that differs tells.
    return all(_written(one, {name}) == _written(other, {name}) for name in _changed(one, other))


def to_manifest(status: FineTuneJobStatus) -> JsonObject:
    """The status as it is written: what is empty is left out."""
    return _written(status)


def _changed(one: FineTuneJobStatus, other: FineTuneJobStatus) -> set[str]:
    """The fields in which two statuses differ. To write all of them out takes ten times as long."""
    # Most are the very same objects, of which to compare the content takes as long again.
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in FineTuneJobStatus.model_fields)
    return {name for name, value, its in pairs if value is not its and value != its}


def _written(status: FineTuneJobStatus, names: set[str] | None = None) -> JsonObject:
    return {name: value for name, value in status.to_wire(names).items() if value != []}


@dataclass(frozen=True)
class Change:
    """How a new status differs from the present one."""

    any: bool
    """Whether there is something to write at all."""
    urgent: bool
    """Whether it is what people and programs wait for: a phase, a condition, an end. The rest may come a little later, together."""
    only_clock: bool
    """Whether nothing differs but times that go on by themselves, the Job's start, and what the job has used."""


_NOTHING = Change(any=False, urgent=False, only_clock=False)
_BEGIN = {"startTime", "usage"}
"""What is new when a Job begins: its pod comes in a moment, or it is said why not, and either is written with it."""
_NEWS: Final = (Reason.NOT_MOVING, Reason.CREATE_FORBIDDEN)
"""Reasons of a condition that somebody has to do something about. The others come and go while a job begins."""
_TRANSITIONS = ("phase", "observedGeneration", "profile", "completionTime", "failure", "notifications")


def compare(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Change:
    """What changed, as written on the wire. That its Job has begun is no news by itself."""
    names = _changed(old, new)
    before, after = _written(old, names), _written(new, names)
    if before == after or (before.get("startTime") != after.get("startTime") and _equal_but_begin(before, after)):
        return _NOTHING
    clockless = [_without_clocks(status) for status in (before, after)]
    return Change(
        any=True,
        urgent=_transitions(before) != _transitions(after),
        only_clock=clockless[0] == clockless[1],
    )


def _equal_but_begin(before: JsonObject, after: JsonObject) -> bool:
    return all(before.get(name) == after.get(name) for name in (before.keys() | after.keys()) - _BEGIN)


def _without_clocks(status: JsonObject) -> JsonObject:
    """The status without what time alone changes, and without when the Job began: nobody waits for that."""
    progress = {**status.get("progress", {}), "lastReportTime": None}
    attempts = [{**each, "podSeconds": None} for each in status.get("attempts", [])]
    return {**status, "progress": progress, "attempts": attempts, "usage": None, "startTime": None}


def _transitions(status: JsonObject) -> list[object]:
    """The part of a status that no report of the trainer changes by itself: a pod may send another each second."""
    return [
        *(status.get(name) for name in _TRANSITIONS),
        *(
            (each["type"], each["status"], each["reason"] if each["reason"] in _NEWS else None)
            for each in status.get("conditions", [])
        ),
    ]
