"""The status of a job that has not ended: what is decided of it, and all that follows from that."""

from dataclasses import replace
from datetime import datetime
from typing import cast

from finetune_api.status import FineTuneJobStatus
from finetune_api.tracking import tracker_urls
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.status.attempts.history import tracked_attempts, update_attempts
from finetune_operator.status.attempts.usage import with_usage
from finetune_operator.status.change import are_alike
from finetune_operator.status.conditions import build_conditions
from finetune_operator.status.messages import cut, to_reason
from finetune_operator.status.phase.decide import decide
from finetune_operator.status.phase.refusals import refusal
from finetune_operator.status.reported.fields import reported_fields
from finetune_operator.status.reported.merge import merge_reports
from finetune_operator.status.reported.own_places import Places, with_own_places
from finetune_operator.status.stalls.ending import mark_ended
from finetune_operator.status.verdict import Verdict
from finetune_operator.status.waiting.held_back import held_back


def status_under_way(
    finetunejob: FineTuneJob, observed: Observation, now: datetime
) -> tuple[FineTuneJobStatus, Verdict]:
    """The status, but for who is to be told of its end, and the verdict that it follows from."""
    verdict, learned = _judge(finetunejob, observed, now)
    verdict = replace(verdict, reason=to_reason(verdict.reason), message=cut(verdict.message))
    before, run, output = finetunejob.status, finetunejob.run, finetunejob.output
    after = before.model_copy(
        update={
            **learned,
            "observed_generation": finetunejob.generation,
            "run": run.model_copy(update={"output": output}) if output else run,
            "profile": observed.profile or before.profile,
            "phase": verdict.phase,
            "message": verdict.message,
            "waiting": held_back(before, verdict, observed, now),
            "conditions": build_conditions(verdict, before.conditions, finetunejob.generation, now),
            "completion_time": verdict.ended,
            "failure": verdict.explained_failure,
        }
    )
    changed = not are_alike(before, after)
    return with_usage(finetunejob, observed, after, now, changed=changed), verdict


def _judge(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> tuple[Verdict, dict[str, object]]:
    """What is decided of the job, and what its trainer has told of it."""
    before, spec = finetunejob.status, finetunejob.spec
    refused = refusal(finetunejob, observed, now)
    if spec is None:
        return cast(Verdict, refused), {}
    observed = with_own_places(observed, Places(finetunejob.output, tracker_urls(spec.tracking)))
    tracked = tracked_attempts(before, observed)
    checking = tracked_attempts(before, observed.preflight) if observed.preflight else ()
    attempts = update_attempts(before, tracked, spec, observed, now)
    known = merge_reports(
        before, (*checking, *tracked), observed.unread, output=finetunejob.output, keep=spec.checkpoints.keep
    )
    verdict = refused or decide(finetunejob, spec, observed, known, now)
    attempts = mark_ended(attempts, verdict)
    start_time = before.start_time or (observed.job and observed.job.start_time)
    return verdict, {**reported_fields(known, verdict, observed), "start_time": start_time, "attempts": attempts}
