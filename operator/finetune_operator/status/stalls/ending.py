"""An attempt that does not move, and that no watchdog of the trainer ends: the operator does, by suspending its Job for a while.

First the status says so, as the reason of the attempt; by that the Job is suspended until the attempt's pod has ended. Then it
goes on, and its new pods from the newest checkpoint. A Job in a queue of Kueue, which would start it again at once, is deleted
with its pods instead, and made anew once they have ended. Kubernetes counts no failure in that, so the operator does.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.report import TrainerState
from finetune_api.status import Attempt, FineTuneJobStatus
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import Observation
from finetune_operator.status.messages import describe_end, duration
from finetune_operator.status.stalls.movement import SINCE, Silence, gives_up
from finetune_operator.status.verdict import Verdict

_HINT: Final = (
    "find out in the log of the image what it waits for. If steps, evaluations or saves may rightly take as long, raise "
    "runPolicy.progressDeadlineSeconds; then run the job again"
)
_HINT_OF_WATCHDOG: Final = (
    "the first process of its pod, which ends a run that hangs, did not: find out on the pod's node what stops it; then run "
    "the job again"
)
_THEN: Final = "the attempt is ended, and a new one goes on from the newest checkpoint, if there is one"


def was_stalled(attempts: Sequence[Attempt], observed: Observation) -> bool:
    """Whether the status called the newest attempt stalled."""
    last, newest = attempts[-1:], observed.attempts[-1:]
    return any(
        attempt.reason == Reason.PROGRESS_STALLED and attempt.pod == pod.name
        for attempt, pod in zip(last, newest, strict=False)
    )


def is_being_ended(attempts: Sequence[Attempt], observed: Observation) -> bool:
    """Whether it did while the attempt ran, and its first pod has not ended yet."""
    return was_stalled(attempts, observed) and observed.attempts[-1].terminated is None


def end_stalled(
    spec: FineTuneJobSpec, attempts: Sequence[Attempt], known: TrainerState, still: Silence, now: datetime
) -> Verdict | None:
    """The end of an attempt that has made no step for its whole deadline; of the job, if no attempt is left, or nothing to do for one. None
    while it may go on."""
    if not still.ended_by_us or now < still.ends_at:
        return None
    if still.finished:
        # The same trainer's exit code would say no more, and be believed.
        late = duration(int(still.deadline.total_seconds()))
        what = f"{describe_end(spec, known)}; its pod had not ended {late} later, and is deleted"
        return Verdict("Succeeded", Reason.SUCCEEDED, what, now)
    what = f"{still.what}, for {still.deadline.total_seconds():.0f} s"
    what += " (runPolicy.progressDeadlineSeconds)" if still.asked else ""
    if gives_up(spec, attempts):
        stalled = 1 + sum(each.reason == Reason.PROGRESS_STALLED for each in attempts)
        times = f"gave up after {stalled} attempt{'s' if stalled > 1 else ''} that stood still; the last one: "
        hint = _HINT if still.asked else _HINT_OF_WATCHDOG
        return Verdict("Failed", Reason.PROGRESS_STALLED, times + what, now, hint)
    return Verdict("Pending", Reason.PROGRESS_STALLED, f"{what}; {_THEN}")


def still_ending(spec: FineTuneJobSpec, before: FineTuneJobStatus, observed: Observation) -> Verdict | None:
    """The same as long as the pod of that attempt is there."""
    if spec.suspend or not is_being_ended(before.attempts, observed):
        return None
    # Not what stands before it, such as what was refused: that is said again where it is still so.
    said = before.message or ""
    _, since, rest = said.partition(SINCE)
    return Verdict("Pending", Reason.PROGRESS_STALLED, since + rest or f"it stood still; {_THEN}")


def mark_ended(attempts: list[Attempt], verdict: Verdict) -> list[Attempt]:
    """The attempts, the last of them called stalled, or completed, if that is what is decided of it while it runs. It ends with its job."""
    reason = Reason.COMPLETED if verdict.phase == "Succeeded" else verdict.reason
    if reason not in (Reason.COMPLETED, Reason.PROGRESS_STALLED) or not attempts or attempts[-1].end_time is not None:
        return attempts
    return [*attempts[:-1], attempts[-1].model_copy(update={"reason": reason, "end_time": verdict.ended})]
