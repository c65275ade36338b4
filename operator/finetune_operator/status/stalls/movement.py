"""Whether a training moves, as far as reports tell. Half way to its end the status says that it does not.

Our trainer ends such an attempt itself. An image with stock transformers has no watchdog: see `ending`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.status import Progress
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.values import format_time
from finetune_operator.job.observation import Observation, PodState
from finetune_operator.status.failures.why_failed import is_last

_WHOLE = 100
"""Percent. What comes after the last step, such as to save the model, takes as long as it takes."""


@dataclass(frozen=True)
class Silence:
    """No step since a moment."""

    since: datetime
    deadline: timedelta
    ended_by_us: bool = False
    """Whether the operator ends the attempt, and not its trainer."""
    last: bool = False
    """Whether no other attempt follows."""

    @property
    def moments(self) -> tuple[datetime, ...]:
        """When the status has something new to say of it."""
        return (self.said_at, self.ends_at) if self.ended_by_us else (self.said_at,)

    @property
    def said_at(self) -> datetime:
        """From when on the status says it."""
        return self.since + self.deadline / 2

    @property
    def ends_at(self) -> datetime:
        """When the attempt ends."""
        return self.since + self.deadline

    def __str__(self) -> str:
        """For people, and the same for as long as it lasts."""
        then = (
            "the job fails: no attempt is left (runPolicy.backoffLimit)"
            if self.last
            else "the attempt ends, and a new one goes on from the newest checkpoint"
        )
        return f"no step since {format_time(self.since)}; if none is done by {format_time(self.ends_at)} {then}"


def silence(spec: FineTuneJobSpec, progress: Progress | None, observed: Observation) -> Silence | None:
    """Since when the training of the newest attempt has made no step; None where that means nothing.

    A report of stock transformers comes with a step, so that the time of the last one counts, if the spec has a deadline.
    """
    pod = observed.attempts[-1] if observed.attempts else None
    if progress is None or pod is None or pod.terminated is not None:
        return None
    last = is_last(observed.pods, spec)
    if progress.last_progress_time is not None and progress.deadline_seconds:
        return Silence(progress.last_progress_time, timedelta(seconds=progress.deadline_seconds), last=last)
    asked, heard = spec.run_policy.progress_deadline_seconds, progress.last_report_time
    if not asked or heard is None or not _is_stock(progress, pod) or progress.percent >= _WHOLE:
        return None
    if observed.hearing is not None:
        if observed.hearing.trouble:
            return None  # It sends, and it does not arrive.
        heard = max(heard, observed.hearing.since)
    heard = heard.replace(microsecond=0)  # as the status has it, by which the next look is due
    return Silence(heard, timedelta(seconds=asked), ended_by_us=True, last=last)


def _is_stock(progress: Progress, pod: PodState) -> bool:
    """Whether stock transformers reports, which knows percents and no steps. After a start of the operator the status has to do."""
    return pod.report.body.report is None if pod.report is not None else progress.step == 0 and progress.percent > 0
