"""The status of a FineTuneJob, computed from what is observed and from the time. Pure: no request, no clock."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from finetune_api.report import TrainerState
from finetune_api.status import Failure, FineTuneJobStatus, LatestCheckpoint, Progress, Provenance, Run, Waiting
from finetune_operator.job.finetunejob import TERMINAL, FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.job.workload import InQueue
from finetune_operator.status.attempts import tracked_attempts, update_attempts
from finetune_operator.status.change import are_alike
from finetune_operator.status.conditions import build_conditions
from finetune_operator.status.merge_reports import merge_reports
from finetune_operator.status.messages import cut, to_reason
from finetune_operator.status.notices import announce, take_in
from finetune_operator.status.phase import decide, invalid_spec
from finetune_operator.status.stall import mark_stalled
from finetune_operator.status.unused_claim import without_claim
from finetune_operator.status.usage import account, is_due, update_times
from finetune_operator.status.verdict import Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Computed:
    """The status to write, and when to look again."""

    status: FineTuneJobStatus
    explained: bool = True
    """Whether anything explains why the job waits, if it waits."""
    again: float | None = None
    """Seconds until time alone may change the status; None if it may not."""


def compute_status(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> FineTuneJobStatus:
    """The status to write."""
    return compute(finetunejob, observed, now).status


def compute(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Computed:
    """The status to write, which is one that the API server takes, whatever the pods reported, and when to look again.

    What has ended stays as it is: terminal means terminal. Only that its claim is deleted is known later.
    """
    try:
        return _checked(_compute(finetunejob, observed, now), finetunejob.status)
    except Exception as error:
        if not observed.reporting:
            raise
        logger.warning("%s: what its pods reported cannot be digested, and is dropped", finetunejob.key, exc_info=error)
        bare = observed.without_reports(observed.reporting, f"all of it ({type(error).__name__})")
    return _checked(_compute(finetunejob, bare, now), finetunejob.status)


def _checked(computed: Computed, before: FineTuneJobStatus) -> Computed:
    """The same, with the status checked as a whole: copies with changes are not. Raises ValidationError."""
    if computed.status == before:
        return replace(computed, status=before)
    return replace(computed, status=FineTuneJobStatus.model_validate(computed.status.to_wire()))


def _compute(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Computed:
    if finetunejob.terminal:
        # GitOps tools take an older observedGeneration for work that is still to come.
        told = take_in(finetunejob.status.notifications, observed.tried)
        update = {"observed_generation": finetunejob.generation, "notifications": told}
        ended = finetunejob.status.model_copy(update=update)
        return Computed(ended if observed.released is None else without_claim(ended, observed.released))
    before = finetunejob.status
    verdict, learned = _judge(finetunejob, observed, now)
    verdict = replace(verdict, reason=to_reason(verdict.reason), message=cut(verdict.message))
    after = before.model_copy(
        update={
            **learned,
            "observed_generation": finetunejob.generation,
            "run": _run(finetunejob),
            "phase": verdict.phase,
            "message": verdict.message,
            "waiting": _waiting(before, verdict, observed, now),
            "conditions": build_conditions(verdict, before.conditions, finetunejob.generation, now),
            "completion_time": verdict.ended,
            "failure": _failure(verdict),
            "notifications": announce(finetunejob, verdict.phase) if verdict.phase in TERMINAL else [],
        }
    )
    return Computed(_with_usage(finetunejob, observed, after, now), verdict.explained, verdict.again)


def _with_usage(
    finetunejob: FineTuneJob, observed: Observation, after: FineTuneJobStatus, now: datetime
) -> FineTuneJobStatus:
    """The status with what the job has used: brought up to date where something else is written, or too much would be missing."""
    before, spec = finetunejob.status, finetunejob.spec
    if spec is None or (are_alike(before, after) and not is_due(before, observed, now)):
        return after
    attempts = update_times(before.attempts, after.attempts, observed.pods, after.phase, now)
    after = after.model_copy(update={"attempts": attempts})
    return after.model_copy(update={"usage": account(finetunejob, spec, observed, after, now)})


def _judge(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> tuple[Verdict, dict[str, object]]:
    """What is decided of the job, and what else of its status is new."""
    before, spec = finetunejob.status, finetunejob.spec
    if spec is None:
        return invalid_spec(finetunejob, now), {}
    tracked = tracked_attempts(before, observed)
    checking = tracked_attempts(before, observed.preflight) if observed.preflight else ()
    attempts = update_attempts(before, tracked, spec, observed, now, output=finetunejob.output)
    reporting = (*checking, *tracked)
    known = merge_reports(before, reporting, observed.unread, output=finetunejob.output, keep=spec.checkpoints.keep)
    verdict = decide(finetunejob, spec, observed, known, now)
    return verdict, {
        "start_time": before.start_time or (observed.job and observed.job.start_time),
        "progress": _progress(known, verdict),
        "metrics": known.metrics,
        "evaluations": known.evaluations,
        "curves": known.curves,
        "checkpoints": known.checkpoints,
        "latest_checkpoint": _latest(known),
        "best_checkpoint": known.best_checkpoint,
        "model": known.model,
        "adjustments": known.adjustments,
        "warnings": known.warnings,
        "preflight": known.preflight,
        "attempts": mark_stalled(attempts, verdict),
        "provenance": _provenance(known, observed),
    }


def _run(finetunejob: FineTuneJob) -> Run:
    run, output = finetunejob.run, finetunejob.output
    return run.model_copy(update={"output": output}) if output else run


def _waiting(before: FineTuneJobStatus, verdict: Verdict, observed: Observation, now: datetime) -> Waiting | None:
    if verdict.phase != "Queued":
        return None
    since = before.waiting.since if before.waiting is not None else now
    blocked = observed.under_way.blocked
    position = blocked.position if isinstance(blocked, InQueue) else None
    return Waiting(reason=verdict.reason, since=since, position=position)


def _failure(verdict: Verdict) -> Failure | None:
    if verdict.phase != "Failed" or verdict.failure is not None:
        return verdict.failure
    return Failure(reason=verdict.reason, message=verdict.message, hint=verdict.hint)


def _progress(known: TrainerState, verdict: Verdict) -> Progress | None:
    if known.progress is None:
        return None
    # An estimate is about a run that goes on.
    over = {"eta_seconds": None, "deadline_seconds": None, "last_progress_time": None}
    if verdict.phase == "Succeeded":
        return known.progress.model_copy(update={"percent": 100, **over})
    if verdict.phase != "Running":
        return known.progress.model_copy(update=over)
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
