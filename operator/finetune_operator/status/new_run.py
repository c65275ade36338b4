"""The status of a job whose `spec.runToken` asks for another run: all of it is about the new one, and the former is summed up."""

from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.status import MAX_PREVIOUS_RUNS, MAX_RUNS, FineTuneJobStatus, PreviousRun, Run
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.run import has_begun
from finetune_operator.status.conditions import build_conditions
from finetune_operator.status.messages import cut
from finetune_operator.status.verdict import Verdict


def status_of_new_run(finetunejob: FineTuneJob, now: datetime) -> FineTuneJobStatus:
    """The status at the begin of the run that the spec asks for. A run that has not begun only takes another token."""
    before, run, token = finetunejob.status, finetunejob.run, finetunejob.spec and finetunejob.spec.run_token
    previous = before.previous_runs
    if has_begun(before):
        previous = [*previous, _summary(before, run, now)][-MAX_PREVIOUS_RUNS:]
        run = Run(number=min(run.number + 1, MAX_RUNS), begin_time=now)
    verdict = Verdict("Pending", Reason.NEW_RUN, cut(f"run {run.number} begins, since spec.runToken is {token}"))
    return FineTuneJobStatus(
        observed_generation=finetunejob.generation,
        phase=verdict.phase,
        message=verdict.message,
        conditions=build_conditions(verdict, before.conditions, finetunejob.generation, now),
        run=run.model_copy(update={"token": token, "output": None}),
        previous_runs=previous,
        # That is the job's, all runs together; of the time between two runs nothing counts.
        usage=before.usage and before.usage.model_copy(update={"until": max(before.usage.until, now)}),
    )


def _summary(before: FineTuneJobStatus, run: Run, now: datetime) -> PreviousRun:
    ready = next((each for each in before.conditions if each.type == "Ready"), None)
    attempts = before.attempts
    return PreviousRun(
        number=run.number,
        token=run.token,
        phase=before.phase or "Pending",
        reason=before.failure.reason if before.failure else ready and ready.reason,
        message=before.message and before.message[:256],
        start_time=before.start_time,
        end_time=before.completion_time or now,
        attempts=attempts[-1].number if attempts else 0,
        step=before.progress and before.progress.step,
        output=run.output,
    )
