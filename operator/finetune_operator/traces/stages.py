"""What a trainer does from when to when, as its reports say: its pod needs no collector, no library and no way out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from finetune_api.report import Report
from finetune_api.status import Attempt
from finetune_operator.traces.lifecycle import attempt_place
from finetune_operator.traces.span import JOB, Place, Span, Value


@dataclass(frozen=True)
class Sender:
    """A pod that reports for a job."""

    uid: str
    """That of the job."""
    pod: str
    preflight: bool = False
    """Whether it checks the run before it begins. Such a pod is no attempt."""

    @property
    def place(self) -> Place:
        """The span that what it does is a part of."""
        return JOB if self.preflight else attempt_place(self.pod)


@dataclass
class _Open:
    sender: Sender
    stage: str
    since: datetime
    first_step: int
    step: int


@dataclass
class Stages:
    """Of one job: the stage that its newest report was of."""

    _open: _Open | None = None
    _sequence: dict[str, int] = field(default_factory=dict)
    """Of the newest report, by the pod that sends now."""

    def hear(
        self, sender: Sender, report: Report, at: datetime, attempts: Callable[[], Sequence[Attempt]]
    ) -> list[Span] | None:
        """Take in a report that came at `at`. Return the spans that it completes; None if it is older than the last.

        `attempts` are those of the status; asked for a pod that was not heard of before, as after a restart of the operator.
        """
        if report.sequence <= self._sequence.get(sender.pod, -1):
            return None
        new = sender.pod not in self._sequence
        self._sequence = {sender.pod: report.sequence}
        step = report.progress.step if report.progress else 0
        if self._open and not new and self._open.stage == report.stage:
            self._open.step = step
            return []
        over = self.end(at, step=None if new else step)
        if report.stage != "Finished":
            since = min(at, _begin(sender, report, attempts()) or at) if new else at
            self._open = _Open(sender, report.stage, since, step, step)
        return over

    def end(self, at: datetime, pod: str | None = None, step: int | None = None) -> list[Span]:
        """End what is under way, if `pod` does it or is None. Return its span."""
        now = self._open
        if now is None or pod not in (None, now.sender.pod):
            return []
        self._open = None
        sender, stage = now.sender, now.stage
        attributes: dict[str, Value | None] = {
            "k8s.pod.name": sender.pod,
            "finetune.step.first": now.first_step,
            "finetune.step.last": now.step if step is None else step,
        }
        name = f"preflight {stage}" if sender.preflight else stage
        place = ("stage", sender.pod, stage, now.since.isoformat())
        return [Span(sender.uid, name, place, sender.place, now.since, max(now.since, at), attributes)]


def _begin(sender: Sender, report: Report, attempts: Sequence[Attempt]) -> datetime | None:
    """When a stage began that was under way before anything was heard of it, as far as the status knows."""
    attempt = next((each for each in attempts if each.pod == sender.pod), None)
    if attempt is None:
        return None
    return {"Preparing": attempt.start_time, "Training": attempt.training_start_time}.get(report.stage)
