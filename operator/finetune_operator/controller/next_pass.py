"""When a job is looked at again of which nothing is heard."""

from finetune_api.reasons import Reason
from finetune_operator.controller.entry import Entry
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.status.compute import Computed
from finetune_operator.status.waiting.why_waiting import NO_POD_YET, NOT_TAKEN_UP

_FORMER_SECONDS = 10.0
"""Until what is left of a former run is looked at again, should a cache not show its end."""


def next_pass(observed: Observation, computed: Computed, entry: Entry, clock: float) -> float | None:
    """Seconds until the job is looked at again if nothing is heard of it.

    Args:
        clock: The present time in seconds of time.monotonic().
    """
    of_queue = entry.queue.wait(clock) if entry.queue is not None else None
    may_change = _may_change(observed, computed, entry.obstacle.wait(clock))
    return soonest(of_queue, entry.refused.wait(clock), may_change)


def _may_change(observed: Observation, computed: Computed, until_asked: float | None) -> float | None:
    """Seconds until time alone, or something that no watch shows, may change the status.

    `until_asked` are those until what is in the way is looked at again.
    """
    phase = computed.status.phase
    if phase == "Queued":
        return until_asked
    if phase != "Pending":
        return computed.again
    if observed.former is not None:
        return _FORMER_SECONDS
    if until_asked is None and (not computed.explained or _may_not_be_made(observed.under_way.blocked)):
        until_asked = (NOT_TAKEN_UP if _is_not_taken_up(observed.under_way) else NO_POD_YET).total_seconds()
    return soonest(computed.again, until_asked)


def _may_not_be_made(cause: Cause | None) -> bool:
    return cause is not None and cause.reason == Reason.CREATE_FORBIDDEN


def _is_not_taken_up(stage: Observation) -> bool:
    """Whether there is a Job, and nothing that its controller has done about it."""
    return stage.job is not None and stage.job.start_time is None and not stage.pods


def soonest(*delays: float | None) -> float | None:
    """The least of the delays that there are; None without any."""
    return min((delay for delay in delays if delay is not None), default=None)
