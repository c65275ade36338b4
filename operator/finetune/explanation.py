"""Why a job is as it is: in the operator's own words, with the one Event or line of the log that proves it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from finetune.api import Api
from finetune.errors import NoCluster, NotAllowed
from finetune.pods import event_line, event_time, name_of, pods_of, warnings_about
from finetune.snapshot import Snapshot
from finetune.summary import needs_a_person, unseen
from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import Condition
from finetune_api.values import format_time

_TROUBLED: Final = ("Pending", "Queued", "Preparing", "Suspended", "Failed")
"""Phases in which something keeps the job from training."""
_REASONS: Final = {str(each): each for each in Reason}
_NEXT: Final = {
    "Pending": "Nothing yet: it goes on by itself.",
    "Queued": "Nothing: it begins when its turn comes.",
    "Preparing": "Nothing yet: training begins once model and data are loaded and checked.",
    "Running": "Nothing: it trains.",
    "Suspended": "Let it go on with `finetune resume`.",
    "Succeeded": "Nothing. `finetune download` fetches the model.",
    "Failed": "Read the message and the log (`finetune logs`); `finetune rerun` tries it again.",
}
"""What to do in each phase, where the reason needs nothing in particular, or is one of the cluster's own."""


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
    """What to do; that nothing is to do, too."""
    since: datetime | None
    proof: str
    """The line of the log, the Event, or else the condition of the status that says so; "" where all is well."""

    def __str__(self) -> str:
        """Return what happened, what to do, and what proves it."""
        head = f"{self.name} is {self.phase}" + (f" ({self.reason})" if self.reason else "")
        return "\n".join(filter(None, (f"{head}: {self.message}", self.remedy, self.proof)))

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
        message=(failure and failure.message)
        or _message(job)
        or (known.meaning if known else "its status has no message"),
        remedy=(failure and failure.hint) or _remedy(job, known) or _next(job),
        since=_since(job),
        proof=await _proof(api, job),
    )


def _message(job: Snapshot) -> str:
    if job.wants_new_run:
        return "spec.runToken asks for a new run, which has not begun"
    return job.status.message or unseen(job)


def _remedy(job: Snapshot, known: Reason | None) -> str:
    """Return what to do about the reason in general; "" where it is nothing, since another attempt follows, and none does."""
    remedy = known.remedy if known else ""
    return "" if job.phase == "Failed" and remedy.startswith("Nothing") else remedy


def _next(job: Snapshot) -> str:
    if job.status.phase is None:
        return (
            "If this lasts longer than seconds, no operator serves the namespace: ask whoever runs the cluster, "
            "or look at its pods with `kubectl get pods -A -l app.kubernetes.io/name=finetune-operator`."
        )
    return _NEXT[job.phase]


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
    if not needs_a_person(job) and job.phase not in _TROUBLED:
        return ""
    pods, placed = await _newest_pod(api, job)
    try:
        # A pod waits for its claim before its node, and this Event of it stays the newest for an hour.
        found = [
            each
            for each in await warnings_about(api, job, pods)
            if not (placed and each.get("reason") == "FailedScheduling") and not _is_over(job, each)
        ]
    except NotAllowed:
        return "Events of the namespace are not for you to read (you need the right to list events)"
    except NoCluster as error:
        # The card is of the status, which is here.
        return f"Events of the namespace cannot be read now: {error}"
    if found:
        return f"Event of {format_time(event_time(found[0]))}: {event_line(found[0])}"
    return next((_condition_line(each) for each in job.status.conditions if each.type == "Ready"), "")


def _is_over(job: Snapshot, event: JsonObject) -> bool:
    """Whether an Event is of a former run, or of what a job waited for before its pod began or it was suspended."""
    begun = job.status.run.begin_time if job.status.run is not None else None
    if job.phase in ("Preparing", "Suspended"):
        begun = _since(job)
    return (since := _moment(begun)) is not None and event_time(event) < since


def _condition_line(condition: Condition) -> str:
    """Kubernetes forgets Events after an hour; what the operator saw stands in the status."""
    since = format_time(condition.last_transition_time)
    why = f"{condition.reason}: {condition.message}".rstrip(": ")
    return f"condition {condition.type} is {condition.status} since {since}: {why}"


async def _newest_pod(api: Api, job: Snapshot) -> tuple[list[str], bool]:
    """Name of the newest pod, if there is one, and whether it has a node: what was the matter with former ones is over."""
    try:
        found = [(name_of(pod), bool((pod.get("spec") or {}).get("nodeName"))) for pod in await pods_of(api, job)]
    except (NotAllowed, NoCluster):
        found = [(each.pod, each.node is not None) for each in job.status.attempts]
    return [name for name, _ in found[-1:]], any(placed for _, placed in found[-1:])
