"""What there is of a job's runs before the present one. It ends before the present one begins: no two of them train at once."""

from collections.abc import Iterable
from dataclasses import replace

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, FormerRuns, Observation
from finetune_operator.job.ownership import is_of_our_job, is_ours, run_of
from finetune_operator.job.parse_children import has_ended, parse_job
from finetune_operator.job.run import has_begun


def follows_another(finetunejob: FineTuneJob) -> bool:
    """Whether something may be left of runs before the present one, of which nothing has begun yet."""
    return finetunejob.run.number > 1 and not has_begun(finetunejob.status)


def with_former_runs(
    finetunejob: FineTuneJob, observed: Observation, jobs: Iterable[JsonObject], pods: Iterable[JsonObject]
) -> Observation:
    """The observation with those of the Jobs and pods that belong to former runs and are still there: the present run waits for them.

    A pod may outlive its Job by the time that its trainer takes to save.
    """
    run = finetunejob.run
    old_jobs = [raw for raw in jobs if run_of(raw) != run.number and is_ours(raw, finetunejob)]
    old_pods = [raw for raw in pods if run_of(raw) != run.number and is_of_our_job(raw, finetunejob)]
    running = tuple(sorted(raw["metadata"]["name"] for raw in old_pods if not has_ended(raw)))
    if not old_jobs and not running:
        return observed
    left = "its Job is being deleted"
    if running:
        others = f" and {len(running) - 1} more" if len(running) > 1 else ""
        left = f"the pod {running[0]}{others} saves and stops"
    why = f"run {run.number} begins when all of run {run.number - 1} has ended: {left}"
    former = FormerRuns(tuple(map(parse_job, old_jobs)), running)
    return replace(observed, former=former, blocked=Cause(Reason.ENDING_FORMER_RUN, why))
