"""The attempts of a job in its status: a first pod each, and how it ended."""

from collections.abc import Sequence
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.status import MAX_ATTEMPT_NUMBER, MAX_ATTEMPTS, Attempt, FineTuneJobStatus
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import Observation, PodState, Terminated
from finetune_operator.status.failures.disruptions import attempt_reason, find_lost
from finetune_operator.status.failures.why_failed import attempt_failure, root_cause
from finetune_operator.status.messages import to_reason


def tracked_attempts(previous: FineTuneJobStatus, observed: Observation) -> tuple[PodState, ...]:
    """The first pods of the attempts without those that the status had and has dropped for newer ones.

    Kubernetes keeps a failed pod until the Job goes, and the status the newest ten attempts: both in the order in which
    they came, so that a pod before one that the status knows is old, and one after it is new.
    """
    known = {attempt.pod for attempt in previous.attempts}
    first = next((place for place, pod in enumerate(observed.attempts) if pod.name in known), 0)
    return observed.attempts[first:]


def update_attempts(
    previous: FineTuneJobStatus,
    tracked: Sequence[PodState],
    spec: FineTuneJobSpec,
    observed: Observation,
    now: datetime,
) -> list[Attempt]:
    """One for each first pod that has a node, in order; those whose pods are gone are kept from before. The newest 10."""
    attempts = {attempt.pod: attempt for attempt in previous.attempts}
    number = max((attempt.number for attempt in attempts.values()), default=0)
    present = {pod.name for pod in observed.attempts}
    for name, attempt in attempts.items():
        if name not in present and attempt.end_time is None:
            attempts[name] = attempt.model_copy(update={"end_time": now, "reason": attempt.reason or Reason.POD_GONE})
    for pod in tracked:
        before = attempts.get(pod.name)
        if before is None:
            if pod.node is None and pod.terminated is None:
                continue
            number = min(number + 1, MAX_ATTEMPT_NUMBER)
            before = Attempt(number=number, pod=pod.name)
        attempt = _attempt(before, pod, spec, observed, now)
        attempts[pod.name] = attempt.model_copy(update={"log": _log(pod) or before.log})
    return sorted(attempts.values(), key=lambda attempt: attempt.number)[-MAX_ATTEMPTS:]


def _attempt(before: Attempt, pod: PodState, spec: FineTuneJobSpec, observed: Observation, now: datetime) -> Attempt:
    seen: dict[str, object] = {"node": pod.node or before.node}
    state = pod.final or (pod.report.body.report if pod.report else None)
    if state is not None and (state.resumed_from_step or pod.final or _has_begun(pod)):
        seen["resumed_from_step"] = state.resumed_from_step
    if state is not None and state.progress is not None and (step := state.progress.step):
        seen["last_step"] = step
    if pod.terminated is not None:
        seen["exit_code"] = pod.terminated.exit_code
        seen["end_time"] = before.end_time or pod.terminated.finished or now
        seen["reason"] = _end_reason(before, pod, pod.terminated, spec, observed, now)
    elif before.reason != Reason.PROGRESS_STALLED:
        seen["reason"] = attempt_reason(pod, now)
    seen["start_time"] = before.start_time or observed.began(pod, spec.resources.nodes)
    return before.model_copy(update=seen)


def _log(pod: PodState) -> str | None:
    """Where a pod says that its log is."""
    reported = pod.report.body.report if pod.report else None
    return (pod.final and pod.final.log) or (reported and reported.log) or None


def _has_begun(pod: PodState) -> bool:
    """Whether a pod knows where it began: trainers of earlier releases report step 0 until they do."""
    report = pod.report.body.report if pod.report else None
    return report is not None and report.stage != "Preparing"


def _end_reason(
    before: Attempt, pod: PodState, ended: Terminated, spec: FineTuneJobSpec, observed: Observation, now: datetime
) -> str:
    """The reason of an attempt. Where its first pod lost another one, that one's: recorded now, since it may soon be gone."""
    if ended.exit_code == 0:
        return Reason.COMPLETED
    if before.reason == Reason.PROGRESS_STALLED:
        return Reason.PROGRESS_STALLED  # The operator has ended it; the exit code says no more than that.
    cause = pod, ended
    if ended.disrupted is not None and before.reason == Reason.NODE_LOST:
        # What Kubernetes did about it is the smaller part of it.
        return Reason.NODE_LOST
    if ended.exit_code == ExitCode.PEER_LOST:
        if pod is observed.attempts[-1]:
            if find_lost(observed, now) is not None:
                return Reason.NODE_LOST
            since = pod.started or pod.created
            members = [each for each in observed.pods if each.terminated and _ended_since(each.terminated, since)]
            cause = root_cause(members) or cause
        if before.reason and cause[1].exit_code == ExitCode.PEER_LOST:
            return before.reason
    return to_reason(attempt_failure(*cause, spec).reason)


def _ended_since(ended: Terminated, since: datetime | None) -> bool:
    return ended.finished is not None and since is not None and ended.finished >= since
