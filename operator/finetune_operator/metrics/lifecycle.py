"""What one change of a FineTuneJob's status adds to the instruments."""

from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus
from finetune_api.usage import GpuSeconds
from finetune_operator.metrics.instruments import (
    ATTEMPTS_ENDED,
    GPU_SECONDS,
    GPU_SECONDS_LOST,
    JOBS_ENDED,
    NOTIFICATIONS,
    QUEUE_WAIT,
    STARTUP,
    TIME_TO_FIRST_STEP,
)

OTHER = "Other"
"""In place of each reason that the contract does not know: a pod may report any word, and each would be a series of its own."""
_KNOWN = frozenset(reason.value for reason in Reason)
_ENDS = ("Succeeded", "Failed")
_OUTCOMES = {"Delivered": "delivered", "Pending": "failed", "GivenUp": "given_up"}


def bounded_reason(reason: str | None) -> str:
    """The reason as a label."""
    return reason if reason in _KNOWN else OTHER


def reason_of(status: FineTuneJobStatus) -> str:
    """Why the job is as it is, as a label: that of the condition Ready."""
    return bounded_reason(next((each.reason for each in status.conditions if each.type == "Ready"), None))


def record(
    namespace: str, created: datetime, before: FineTuneJobStatus, after: FineTuneJobStatus, now: datetime
) -> None:
    """Count what was not so in `before` and is in `after`. To be called once for each status that was written."""
    if after.phase in _ENDS and before.phase not in _ENDS:
        JOBS_ENDED.labels(namespace, after.phase, reason_of(after)).inc()
    known = {attempt.number: attempt for attempt in before.attempts}
    for attempt in after.attempts:
        earlier = known.get(attempt.number)
        if attempt.end_time and not (earlier and earlier.end_time):
            ATTEMPTS_ENDED.labels(namespace, bounded_reason(attempt.reason)).inc()
        if attempt.number == 1 and attempt.start_time and not (earlier and earlier.start_time):
            QUEUE_WAIT.observe(_seconds(created, attempt.start_time))
    if after.phase == "Running" and before.phase != "Running" and after.attempts and after.attempts[-1].start_time:
        STARTUP.observe(_seconds(after.attempts[-1].start_time, now))
    used, earlier_used = _gpu_seconds(after), _gpu_seconds(before)
    GPU_SECONDS.labels(namespace).inc(max(0, used.total - earlier_used.total))
    GPU_SECONDS_LOST.labels(namespace).inc(max(0, used.lost - earlier_used.lost))
    if _steps(after) and not _steps(before):
        TIME_TO_FIRST_STEP.observe(_seconds(created, now))
    attempts = {each.target: each.attempts for each in before.notifications}
    for notification in after.notifications:
        # An increase is only seen from a series that was there before: that of an end told in vain is, once anybody is to be told.
        NOTIFICATIONS.labels(namespace, _OUTCOMES["GivenUp"])
        if notification.attempts > attempts.get(notification.target, 0):
            NOTIFICATIONS.labels(namespace, _OUTCOMES[notification.state]).inc()


def _gpu_seconds(status: FineTuneJobStatus) -> GpuSeconds:
    return status.usage.gpu_seconds if status.usage else GpuSeconds()


def _steps(status: FineTuneJobStatus) -> int:
    return status.progress.step if status.progress else 0


def _seconds(begin: datetime, end: datetime) -> float:
    """Clocks of two machines differ: never less than nothing."""
    return max(0.0, (end - begin).total_seconds())
