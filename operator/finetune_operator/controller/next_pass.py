"""When a job is looked at again of which nothing is heard."""

from datetime import datetime

from finetune_api.reasons import Reason
from finetune_operator.controller.entry import Entry
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.status.compute import Computed
from finetune_operator.status.waiting.why_waiting import NO_POD_YET, NOT_TAKEN_UP

_FORMER_SECONDS = 10.0
"""Until what is left of a former run is looked at again, should a cache not show its end."""


def next_pass(observed: Observation, computed: Computed, entry: Entry, clock: float, now: datetime) -> float | None:
    """Seconds from the begin of a pass until the job is looked at again if nothing is heard of it.

    Args:
        clock: When the pass began, in seconds of time.monotonic(). What was not asked again in it, held then.
        now: The same as a date.
    """
    of_queue = entry.queue.wait(clock) if entry.queue is not None else None
    may_change = _may_change(observed, computed, entry.obstacle.wait(clock))
    return soonest(of_queue, entry.refused.wait(clock), may_change, computed.again, observed.under_way.next_stuck(now))


def _may_change(observed: Observation, computed: Computed, until_asked: float | None) -> float | None:
    """Seconds until something that no watch shows may change the status.

    `until_asked` are those until what is in the way is looked at again.
    """
    phase, stage = computed.status.phase, observed.under_way
    if phase == "Queued":
        return until_asked
    if phase != "Pending":
        return None
    if observed.former is not None:
        return _FORMER_SECONDS
    if until_asked is None and (not computed.explained or _may_not_be_made(stage.blocked)):
        is_awaited = stage.job is not None and not stage.is_taken_up
        return (NOT_TAKEN_UP if is_awaited else NO_POD_YET).total_seconds()
    return until_asked


def _may_not_be_made(cause: Cause | None) -> bool:
    return cause is not None and cause.reason == Reason.CREATE_FORBIDDEN


def soonest(*delays: float | None) -> float | None:
    """The least of the delays that there are; None without any."""
    return min((delay for delay in delays if delay is not None), default=None)
