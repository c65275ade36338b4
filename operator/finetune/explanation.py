"""Why a job is as it is: in the operator's own words, with the one Event or line of the log that proves it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from finetune.api import Api
from finetune.errors import NotAllowed
from finetune.pods import event_line, event_time, name_of, pods_of, warnings_about
from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.values import format_time

_TROUBLED: Final = ("Pending", "Queued", "Preparing", "Failed")
"""Phases in which a Warning may be what keeps the job from training."""
_REASONS: Final = {str(each): each for each in Reason}


@dataclass(frozen=True)
class Explanation:
    """The card of a job."""

    name: str
    phase: str
    reason: str
    """A word such as ColumnNotFound; "" before an operator has seen the job."""
    meaning: str
    """What the reason means, in general."""
    message: str
    """What happened to this very job."""
    remedy: str
    """What to do; "" where nothing is to do."""
    since: datetime | None
    proof: str
    """The Event, or the line of the log; "" where there is none."""

    def to_wire(self) -> JsonObject:
        """Return it as JSON."""
        return {**vars(self), "since": format_time(self.since) if self.since else None}


async def explain(api: Api, job: Snapshot) -> Explanation:
    """Return the card of the job, with its proof as far as the user may read Events."""
    failure = job.status.failure if job.phase == "Failed" else None
    known = _REASONS.get(job.reason)
    return Explanation(
        name=job.name,
        phase=job.phase,
        reason=job.reason,
        meaning=known.meaning if known else "",
        message=failure.message if failure else _message(job),
        remedy=(failure and failure.hint) or (known.remedy if known else "") or _nothing_known(job),
        since=_since(job),
        proof=await _proof(api, job),
    )


def _message(job: Snapshot) -> str:
    if job.wants_new_run:
        return "spec.runToken asks for a new run, which has not begun"
    return job.status.message or "no operator has written a status yet"


def _nothing_known(job: Snapshot) -> str:
    if job.status.phase is None:
        return (
            "If this lasts longer than seconds, no operator serves the namespace: ask whoever runs the cluster, "
            "or look at its pods with `kubectl get pods -A -l app.kubernetes.io/name=finetune-operator`."
        )
    return "Let it go on with `finetune resume`." if job.phase == "Suspended" else ""


def _since(job: Snapshot) -> datetime | None:
    """Since when phase and reason are so, as well as the status says it."""
    if job.phase == "Queued" and job.status.waiting is not None:
        return _moment(job.status.waiting.since)
    if job.ended and job.status.completion_time is not None:
        return _moment(job.status.completion_time)
    holds = [each.last_transition_time for each in job.status.conditions if each.status == "True"]
    return _moment(max(holds, default=None)) or job.created


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


async def _proof(api: Api, job: Snapshot) -> str:
    failure = job.status.failure if job.phase == "Failed" else None
    if failure is not None and (lines := (failure.log_tail or "").strip().splitlines()):
        return f"last line of the log: {lines[-1]}"
    if job.phase not in _TROUBLED:
        return ""
    try:
        found = await warnings_about(api, job, await _pods(api, job))
    except NotAllowed:
        return "Events of the namespace are not for you to read (you need the right to list events)"
    return f"Event of {format_time(event_time(found[0]))}: {event_line(found[0])}" if found else ""


async def _pods(api: Api, job: Snapshot) -> list[str]:
    """The newest pod: what was the matter with former ones is over."""
    try:
        return [name_of(pod) for pod in await pods_of(api, job)][-1:]
    except NotAllowed:
        return [each.pod for each in job.status.attempts][-1:]
