"""Whether a training moves, as far as reports tell. The trainer itself ends an attempt that does not; half way the status says so."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.status import Progress
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.values import format_time
from finetune_operator.job.observation import PodState
from finetune_operator.job.report import Received


@dataclass(frozen=True)
class Silence:
    """No step since a moment."""

    since: datetime
    deadline: timedelta

    @property
    def said_at(self) -> datetime:
        """From when on the status says it."""
        return self.since + self.deadline / 2

    def __str__(self) -> str:
        """For people, and the same for as long as it lasts."""
        return (
            f"no step since {format_time(self.since)}; if none is done by {format_time(self.since + self.deadline)} the "
            "attempt ends, and a new one goes on from the newest checkpoint"
        )


def moved_at(before: Progress | None, received: Received) -> datetime | None:
    """When a training moved last whose newest report this is; None where it may take as long as it takes.

    Args:
        before: The progress before this report.
    """
    report = received.body.report
    if report is None or report.stage != "Training" or report.progress is None or not report.progress.deadline_seconds:
        return None
    if before is None or before.last_progress_time is None or before.step != report.progress.step:
        return received.time
    return before.last_progress_time


def silence(spec: FineTuneJobSpec, progress: Progress | None, pod: PodState) -> Silence | None:
    """Since when the training of a pod that runs has made no step; None where that means nothing.

    A report of stock transformers comes with a step, so that the time of the last one counts, if the spec has a deadline.
    """
    if progress is None or pod.terminated is not None:
        return None
    if progress.last_progress_time is not None and progress.deadline_seconds:
        return Silence(progress.last_progress_time, timedelta(seconds=progress.deadline_seconds))
    asked = spec.run_policy.progress_deadline_seconds
    if asked and progress.last_report_time is not None and pod.report is not None and pod.report.body.report is None:
        return Silence(progress.last_report_time, timedelta(seconds=asked))
    return None
