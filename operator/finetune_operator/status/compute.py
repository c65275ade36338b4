"""The status of a FineTuneJob, computed from what is observed and from the time. Pure: no request, no clock."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from finetune_api.status import FineTuneJobStatus, Waiting
from finetune_api.tracking import tracker_urls
from finetune_operator.job.budget import OverBudget
from finetune_operator.job.finetunejob import TERMINAL, FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.job.workload import InQueue
from finetune_operator.status.announcements.notices import announce, take_in
from finetune_operator.status.attempts.history import tracked_attempts, update_attempts
from finetune_operator.status.attempts.usage import with_usage
from finetune_operator.status.change import checked
from finetune_operator.status.conditions import build_conditions
from finetune_operator.status.failures.unused_claim import without_claim
from finetune_operator.status.messages import cut, to_reason
from finetune_operator.status.no_later import observed_by, status_by
from finetune_operator.status.phase.decide import decide
from finetune_operator.status.phase.refusals import invalid_spec, refused
from finetune_operator.status.reported.learned import learned_fields
from finetune_operator.status.reported.merge import merge_reports
from finetune_operator.status.reported.own_places import Places, with_own_places
from finetune_operator.status.stalls.ending import mark_stalled
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
    observed = observed_by(observed, now)
    if not finetunejob.terminal:
        finetunejob = replace(finetunejob, status=status_by(finetunejob.status, now))
    try:
        return _compute(finetunejob, observed, now)
    except Exception as error:
        if not observed.reporting:
            raise
        logger.warning("%s: what its pods reported cannot be digested, and is dropped", finetunejob.key, exc_info=error)
        bare = observed.without_reports(observed.reporting, f"all of it ({type(error).__name__})")
    return _compute(finetunejob, bare, now)


def _compute(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Computed:
    before = finetunejob.status
    if not finetunejob.terminal:
        verdict, learned = _judge(finetunejob, observed, now)
        verdict = replace(verdict, reason=to_reason(verdict.reason), message=cut(verdict.message))
        after = _written(finetunejob, observed, verdict, learned, now)
        return Computed(checked(before, after), verdict.explained, verdict.again)
    # GitOps tools take an older observedGeneration for work that is still to come.
    told = take_in(before.notifications, observed.tried)
    ended = before.model_copy(update={"observed_generation": finetunejob.generation, "notifications": told})
    return Computed(checked(before, ended if observed.released is None else without_claim(ended, observed.released)))


def _judge(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> tuple[Verdict, dict[str, object]]:
    """What is decided of the job, and what its trainer has told of it."""
    before, spec = finetunejob.status, finetunejob.spec
    if spec is None:
        return invalid_spec(finetunejob, now), {}
    observed = with_own_places(observed, Places(finetunejob.output, tracker_urls(spec.tracking)))
    tracked = tracked_attempts(before, observed)
    checking = tracked_attempts(before, observed.preflight) if observed.preflight else ()
    attempts = update_attempts(before, tracked, spec, observed, now)
    known = merge_reports(
        before, (*checking, *tracked), observed.unread, output=finetunejob.output, keep=spec.checkpoints.keep
    )
    if observed.refused is not None:
        verdict = refused(observed.refused, now)
    else:
        verdict = decide(finetunejob, spec, observed, known, now)
    attempts = mark_stalled(attempts, verdict)
    start_time = before.start_time or (observed.job and observed.job.start_time)
    return verdict, {**learned_fields(known, verdict, observed), "start_time": start_time, "attempts": attempts}


def _written(
    finetunejob: FineTuneJob, observed: Observation, verdict: Verdict, learned: dict[str, object], now: datetime
) -> FineTuneJobStatus:
    """The whole status after that verdict."""
    before, run, output = finetunejob.status, finetunejob.run, finetunejob.output
    after = before.model_copy(
        update={
            **learned,
            "observed_generation": finetunejob.generation,
            "run": run.model_copy(update={"output": output}) if output else run,
            "phase": verdict.phase,
            "message": verdict.message,
            "waiting": _waiting(before, verdict, observed, now),
            "conditions": build_conditions(verdict, before.conditions, finetunejob.generation, now),
            "completion_time": verdict.ended,
            "failure": verdict.explained_failure,
            "notifications": announce(finetunejob, verdict.phase) if verdict.phase in TERMINAL else [],
        }
    )
    return with_usage(finetunejob, observed, after, now)


def _waiting(before: FineTuneJobStatus, verdict: Verdict, observed: Observation, now: datetime) -> Waiting | None:
    if verdict.phase != "Queued":
        return None
    since = before.waiting.since if before.waiting is not None else now
    blocked = observed.under_way.blocked
    position = blocked.position if isinstance(blocked, InQueue) else None
    budget = observed.blocked.budget if isinstance(observed.blocked, OverBudget) else None
    return Waiting(reason=verdict.reason, since=since, position=position, budget=budget)
