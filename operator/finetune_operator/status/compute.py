"""The status of a FineTuneJob, computed from what is observed and from the time. Pure: no request, no clock."""

from dataclasses import dataclass, replace
from datetime import datetime

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.report import ExitCode, TrainerState
from finetune_api.status import (
    MAX_ATTEMPT_NUMBER,
    MAX_ATTEMPTS,
    Attempt,
    FineTuneJobStatus,
    LatestCheckpoint,
    Progress,
    Provenance,
)
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation, PodState, Terminated
from finetune_operator.status.conditions import build_conditions
from finetune_operator.status.failures import attempt_failure, root_cause
from finetune_operator.status.merge_reports import merge_reports, tracked_attempts
from finetune_operator.status.messages import cut, to_reason
from finetune_operator.status.phase import decide, invalid_spec
from finetune_operator.status.verdict import Verdict


def compute_status(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> FineTuneJobStatus:
    """The status to write. What has ended stays as it is: terminal means terminal."""
    if finetunejob.terminal:
        # GitOps tools take an older observedGeneration for work that is still to come.
        return finetunejob.status.model_copy(update={"observed_generation": finetunejob.generation})
    if finetunejob.spec is None:
        verdict = invalid_spec(finetunejob, now)
        return _with_verdict(finetunejob.status, finetunejob, verdict, now)
    known = merge_reports(finetunejob.status, observed, finetunejob.spec.checkpoints.keep)
    verdict = decide(finetunejob, finetunejob.spec, observed, known, now)
    status = finetunejob.status.model_copy(
        update={
            "start_time": finetunejob.status.start_time or (observed.job and observed.job.start_time),
            "progress": _progress(known, verdict),
            "metrics": known.metrics,
            "evaluations": known.evaluations,
            "checkpoints": known.checkpoints,
            "latest_checkpoint": _latest(known),
            "best_checkpoint": known.best_checkpoint,
            "model": known.model,
            "adjustments": known.adjustments,
            "warnings": known.warnings,
            "preflight": known.preflight,
            "attempts": _attempts(finetunejob, finetunejob.spec, observed, now),
            "provenance": _provenance(known, observed),
        }
    )
    return _with_verdict(status, finetunejob, verdict, now)


def _with_verdict(
    status: FineTuneJobStatus, finetunejob: FineTuneJob, verdict: Verdict, now: datetime
) -> FineTuneJobStatus:
    verdict = replace(verdict, reason=to_reason(verdict.reason), message=cut(verdict.message))
    return status.model_copy(
        update={
            "observed_generation": finetunejob.generation,
            "phase": verdict.phase,
            "message": verdict.message,
            "conditions": build_conditions(verdict, finetunejob.status.conditions, finetunejob.generation, now),
            "completion_time": verdict.ended,
            "failure": verdict.failure,
        }
    )


def _progress(known: TrainerState, verdict: Verdict) -> Progress | None:
    if known.progress is None:
        return None
    # An estimate is about a run that goes on.
    if verdict.phase == "Succeeded":
        return known.progress.model_copy(update={"percent": 100, "eta_seconds": None})
    if verdict.phase != "Running":
        return known.progress.model_copy(update={"eta_seconds": None})
    return known.progress


def _latest(known: TrainerState) -> LatestCheckpoint | None:
    if not known.checkpoints:
        return None
    newest = known.checkpoints[-1]
    return LatestCheckpoint(step=newest.step, uri=newest.uri)


def _provenance(known: TrainerState, observed: Observation) -> Provenance | None:
    image = next((pod.image for pod in reversed(observed.pods) if pod.image), None)
    if image is None:
        return known.provenance
    return (known.provenance or Provenance()).model_copy(update={"image": image[:512]})


def _attempts(finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, now: datetime) -> list[Attempt]:
    """One for each first pod that has a node, in order; those whose pods are gone are kept from before. The newest 10."""
    attempts = {attempt.pod: attempt for attempt in finetunejob.status.attempts}
    number = max((attempt.number for attempt in attempts.values()), default=0)
    present = {pod.name for pod in observed.attempts}
    for name, attempt in attempts.items():
        if name not in present and attempt.end_time is None:
            attempts[name] = attempt.model_copy(update={"end_time": now, "reason": attempt.reason or Reason.POD_GONE})
    for pod in tracked_attempts(finetunejob.status, observed):
        before = attempts.get(pod.name)
        if before is None:
            if pod.node is None and pod.terminated is None:
                continue
            number = min(number + 1, MAX_ATTEMPT_NUMBER)
            before = Attempt(number=number, pod=pod.name)
        attempts[pod.name] = _attempt(before, pod, spec, observed, now)
    return sorted(attempts.values(), key=lambda attempt: attempt.number)[-MAX_ATTEMPTS:]


def _attempt(before: Attempt, pod: PodState, spec: FineTuneJobSpec, observed: Observation, now: datetime) -> Attempt:
    began = observed.began(pod, spec.resources.nodes)
    seen: dict[str, object] = {"node": pod.node or before.node, "start_time": before.start_time or began}
    state = pod.final or (pod.report.body.report if pod.report else None)
    if state is not None:
        seen["resumed_from_step"] = state.resumed_from_step
    if pod.terminated is not None:
        seen["exit_code"] = pod.terminated.exit_code
        seen["end_time"] = before.end_time or pod.terminated.finished or now
        seen["reason"] = _end_reason(before, pod, pod.terminated, spec, observed)
    return before.model_copy(update=seen)


def _end_reason(before: Attempt, pod: PodState, ended: Terminated, spec: FineTuneJobSpec, observed: Observation) -> str:
    """The reason of an attempt. Where its first pod lost another one, that one's: recorded now, since it may soon be gone."""
    if ended.exit_code == 0:
        return Reason.COMPLETED
    cause = pod, ended
    if ended.exit_code == ExitCode.PEER_LOST:
        if pod is observed.attempts[-1]:
            since = pod.started or pod.created
            members = [each for each in observed.pods if each.terminated and _ended_since(each.terminated, since)]
            cause = root_cause(members) or cause
        if before.reason and cause[1].exit_code == ExitCode.PEER_LOST:
            return before.reason
    return to_reason(attempt_failure(*cause, spec).reason)


def _ended_since(ended: Terminated, since: datetime | None) -> bool:
    return ended.finished is not None and since is not None and ended.finished >= since


def to_manifest(status: FineTuneJobStatus) -> JsonObject:
    """The status as it is written: what is empty is left out."""
    return {name: value for name, value in status.to_wire().items() if value != []}


@dataclass(frozen=True)
class Change:
    """How a new status differs from the present one."""

    any: bool
    """Whether there is something to write at all."""
    urgent: bool
    """Whether it is more than a report brings about: a phase, a condition, an attempt, an end."""
    only_clock: bool
    """Whether nothing but the time of the last report differs."""


_TRANSITIONS = ("phase", "observedGeneration", "startTime", "completionTime", "failure")


def compare(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Change:
    """What changed, as written on the wire."""
    before, after = to_manifest(old), to_manifest(new)
    if before == after:
        return Change(any=False, urgent=False, only_clock=False)
    clockless = [{**s, "progress": {**s.get("progress", {}), "lastReportTime": None}} for s in (before, after)]
    return Change(
        any=True,
        urgent=_transitions(before) != _transitions(after),
        only_clock=clockless[0] == clockless[1],
    )


def _transitions(status: JsonObject) -> list[object]:
    """The part of a status that no report of the trainer changes by itself: a pod may send another each second."""
    return [
        *(status.get(name) for name in _TRANSITIONS),
        *((each["type"], each["status"]) for each in status.get("conditions", [])),
        *({**each, "resumedFromStep": None} for each in status.get("attempts", [])),
    ]
