"""The spans that one change of a FineTuneJob's status completes: its queue, its attempts, and in the end itself."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.report import ExitCode
from finetune_api.status import Attempt, FineTuneJobStatus
from finetune_operator.traces.span import JOB, Place, Span, Value

_ENDS = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Written:
    """A status that was written, and the one before it."""

    uid: str
    namespace: str
    name: str
    created: datetime
    before: FineTuneJobStatus
    after: FineTuneJobStatus
    now: datetime

    @property
    def run(self) -> int:
        """Which run of the job the status before was about."""
        return self.before.run.number if self.before.run else 1

    @property
    def began(self) -> datetime:
        """When that run began."""
        return (self.before.run and self.before.run.begin_time) or self.created

    @property
    def is_of_another_run(self) -> bool:
        """Whether the status is about the next run."""
        return (self.after.run.number if self.after.run else 1) != self.run

    @property
    def root(self) -> Place:
        """The span that the run is: the root of the trace, or for a later run one in it."""
        return JOB if self.run == 1 else ("run", str(self.run))

    @property
    def of_phase(self) -> bool:
        """Whether the job is in another phase."""
        return self.before.phase != self.after.phase


def completed(written: Written) -> list[Span]:
    """What was not over before the change, and is over after it."""
    if written.is_of_another_run:
        return _replaced(written)
    known = {attempt.number: attempt for attempt in written.before.attempts}
    spans = []
    for attempt in written.after.attempts:
        earlier = known.get(attempt.number)
        if attempt.number == 1 and attempt.start_time and not (earlier and earlier.start_time):
            spans.append(_queue(written, attempt.start_time))
        if attempt.end_time and not (earlier and earlier.end_time):
            spans.append(_of_attempt(written, attempt, attempt.end_time))
    if written.after.phase in _ENDS and written.before.phase not in _ENDS:
        spans.append(_of_job(written, written.after))
    return spans


def _replaced(written: Written) -> list[Span]:
    """What was under way when another run took its place."""
    before, reason = written.before, {"reason": "Replaced"}
    if before.phase in _ENDS:
        return []
    open_ones = [attempt.model_copy(update=reason) for attempt in before.attempts if not attempt.end_time]
    return [*(_of_attempt(written, each, written.now) for each in open_ones), _of_job(written, before, "Replaced")]


def attempt_place(pod: str) -> Place:
    """The place of the attempt whose first pod has this name."""
    return "attempt", pod


def deleted(uid: str, namespace: str, name: str, created: datetime, now: datetime) -> Span:
    """The job that was deleted before it had ended."""
    attributes: dict[str, Value | None] = {
        "k8s.namespace.name": namespace,
        "finetune.job.name": name,
        "finetune.job.uid": uid,
        "finetune.reason": "Deleted",
    }
    return Span(uid, "FineTuneJob", JOB, None, created, max(created, now), attributes)


def _of_attempt(written: Written, attempt: Attempt, end: datetime) -> Span:
    attributes: dict[str, Value | None] = {
        "finetune.attempt": attempt.number,
        "k8s.pod.name": attempt.pod,
        "k8s.node.name": attempt.node,
        "finetune.exit_code": attempt.exit_code,
        "finetune.reason": attempt.reason,
        "finetune.resumed_from_step": attempt.resumed_from_step,
        "finetune.pod_seconds": attempt.pod_seconds,
    }
    stopped = attempt.exit_code in (ExitCode.SUCCESS, ExitCode.STOPPED)
    failure = None if stopped else attempt.reason or "Error"
    place, start = attempt_place(attempt.pod), attempt.start_time or end
    return Span(written.uid, "attempt", place, written.root, start, max(start, end), attributes, failure=failure)


def _of_job(written: Written, after: FineTuneJobStatus, reason: str | None = None) -> Span:
    ready = next((each for each in after.conditions if each.type == "Ready"), None)
    attributes: dict[str, Value | None] = {
        "k8s.namespace.name": written.namespace,
        "finetune.job.name": written.name,
        "finetune.job.uid": written.uid,
        "finetune.run": written.run,
        "finetune.phase": after.phase,
        "finetune.reason": reason or (ready.reason if ready else None),
        "finetune.attempts": max((attempt.number for attempt in after.attempts), default=0),
        "finetune.steps": after.progress.step if after.progress else 0,
        "finetune.gpu_seconds": after.usage.gpu_seconds.total if after.usage else 0,
    }
    failure = (after.failure.reason if after.failure else "Error") if after.phase == "Failed" else None
    begin, end = written.began, max(written.began, after.completion_time or written.now)
    name, parent = ("FineTuneJob", None) if written.run == 1 else ("run", JOB)
    return Span(written.uid, name, written.root, parent, begin, end, attributes, failure=failure)


def _queue(written: Written, start: datetime) -> Span:
    """Clocks of two machines differ: no span is shorter than nothing."""
    begin = written.began
    return Span(written.uid, "queue", ("queue", str(written.run)), written.root, begin, max(begin, start))
