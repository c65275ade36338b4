"""Whether a training moves, as far as reports tell. Half way to its end the status says that it does not.

Our trainer ends such an attempt itself. An image with stock transformers has no watchdog, and that of a pod may be stopped too,
by somebody on its node: see `ending`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.status import MAX_ATTEMPTS, Attempt, FineTuneJobStatus, Progress
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.values import format_time
from finetune_operator.job.observation import Observation, PodState
from finetune_operator.status.failures.why_failed import is_last

SINCE: Final = "no step since "
_FINISHED_SINCE: Final = "the trainer has finished, and its pod has not ended since "
_WATCHDOG = timedelta(minutes=45)
"""Longer than the watchdog of a pod, if that runs, waits for anything."""
_WHY_NOT: Final = (
    "it does not count the time in which the pod was frozen as a whole, and does nothing where it is stopped itself. The operator "
    "ends the attempt once reports have said so for 45 min more without a pause"
)
_WHOLE = 100
"""Percent. What comes after the last step, such as to save the model, takes as long as it takes."""


@dataclass(frozen=True)
class Silence:
    """Nothing new since a moment."""

    since: datetime
    deadline: timedelta
    ended_by_us: bool = False
    """Whether the operator ends the attempt, and not its trainer."""
    last: bool = False
    """Whether no other attempt follows."""
    asked: bool = False
    """Whether the spec asks for the deadline."""
    finished: bool = False
    """Whether the trainer has finished, and only its pod has not ended: then the job succeeds without that."""

    @property
    def moments(self) -> tuple[datetime, ...]:
        """When the status has something new to say of it."""
        return self.said_at, self.ends_at

    @property
    def said_at(self) -> datetime:
        """From when on the status says it."""
        return self.since + self.deadline / 2

    @property
    def ends_at(self) -> datetime:
        """When the attempt ends, or the job."""
        return self.since + self.deadline

    @property
    def what(self) -> str:
        """What is the matter, and since when."""
        if self.finished:
            return f"{_FINISHED_SINCE}{format_time(self.since)}"
        return f"{SINCE}{format_time(self.since)}"

    def describe(self, now: datetime) -> str:
        """For people: what is to come of it, or that this should have come already. The same for as long as either lasts."""
        if self.finished:
            return f"{self.what}; if it has not by {format_time(self.ends_at)} the job has succeeded, and the pod is deleted"
        if self.ends_at <= now:
            return f"{self.what}, and the first process of its pod, which ends the attempt after {_seconds(self.deadline)} without one, has not: {_WHY_NOT}"
        then = (
            "the job fails: no attempt is left (runPolicy.backoffLimit)"
            if self.last
            else "the attempt ends, and a new one goes on from the newest checkpoint, if there is one"
        )
        return f"{self.what}; if none is done by {format_time(self.ends_at)} {then}"


def silence(
    spec: FineTuneJobSpec, progress: Progress | None, observed: Observation, before: FineTuneJobStatus
) -> Silence | None:
    """Since when the training of the newest attempt has made no step; None where that means nothing.

    A report of stock transformers comes with a step, so that the time of the last one counts, if the spec has a deadline.

    Args:
        progress: With what was reported since the status `before`.
    """
    attempts = before.attempts
    pod = observed.attempts[-1] if observed.attempts else None
    if progress is None or pod is None or pod.terminated is not None:
        return None
    finished = finished_at(pod, before)
    if finished is not None:
        return Silence(finished.replace(microsecond=0), _WATCHDOG, ended_by_us=True, finished=True)
    if progress.last_progress_time is not None and progress.deadline_seconds:
        if pod.report is None and observed.hearing is not None and not _is_said(before):
            return None  # Steps that were done before this process listened are not known yet.
        deadline = timedelta(seconds=progress.deadline_seconds)
        return _watched(spec, deadline, progress.last_progress_time, observed, attempts)
    asked, heard = spec.run_policy.progress_deadline_seconds, progress.last_report_time
    if not asked or heard is None or not _is_stock(progress, pod) or progress.percent >= _WHOLE:
        return None
    if observed.hearing is not None:
        if observed.hearing.trouble:
            return None  # It sends, and it does not arrive.
        heard = max(heard, observed.hearing.since)
    heard = heard.replace(microsecond=0)  # as the status has it, by which the next look is due
    return Silence(heard, timedelta(seconds=asked), ended_by_us=True, last=gives_up(spec, attempts), asked=True)


def gives_up(spec: FineTuneJobSpec, attempts: Sequence[Attempt]) -> bool:
    """Whether no attempt follows one that the operator ends now: of those, Kubernetes counts none."""
    stalled = 1 + sum(each.reason == Reason.PROGRESS_STALLED for each in attempts)
    # Of more attempts the status does not know.
    return stalled > min(spec.run_policy.backoff_limit, MAX_ATTEMPTS - 1)


def finished_at(pod: PodState, before: FineTuneJobStatus) -> datetime | None:
    """When its trainer first said that it has nothing more to do, and at most waits for those of other pods to end; None if it has not.

    After a start of the operator the status has to do: perhaps no other report comes. Where others come, they say it again.
    """
    report = pod.report.body.report if pod.report is not None else None
    if pod.report is not None and (report is None or report.stage != "Finished"):
        return None
    is_same = bool(before.attempts) and before.attempts[-1].pod == pod.name
    known = finish_of(before.progress) if is_same else None
    return known or (pod.report.time if pod.report is not None else None)


def finish_of(progress: Progress | None) -> datetime | None:
    """When the trainer first said that it had finished, as a status has it; None if it had not."""
    return progress.last_progress_time if progress is not None and not progress.deadline_seconds else None


def _watched(
    spec: FineTuneJobSpec, deadline: timedelta, since: datetime, observed: Observation, attempts: Sequence[Attempt]
) -> Silence:
    """Of a trainer that has a watchdog. The operator ends it where reports still say, long after that should have, that no step is done.

    What the trainer did while it was not heard, such as to evaluate, is not known, nor whether it was frozen. So those reports have to
    have come without a pause.
    """
    report = observed.attempts[-1].report
    if report is not None and report.time - max(since, report.unbroken_since or report.time) >= deadline + _WATCHDOG:
        return Silence(since, deadline, ended_by_us=True, last=gives_up(spec, attempts))
    return Silence(since, deadline, last=is_last(observed.pods, spec))


def _is_said(before: FineTuneJobStatus) -> bool:
    """Whether the status says that it does not move."""
    return any(each.type == "Ready" and each.reason == Reason.NOT_MOVING for each in before.conditions)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"


def _is_stock(progress: Progress, pod: PodState) -> bool:
    """Whether stock transformers reports, which knows percents and no steps. After a start of the operator the status has to do."""
    return pod.report.body.report is None if pod.report is not None else progress.step == 0 and progress.percent > 0
