"""What there is of a job's runs before the present one. It ends before the present one begins: no two of them train at once."""

from collections.abc import Iterable

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import Run
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, FormerRuns
from finetune_operator.job.ownership import is_of_our_job, is_ours, run_of
from finetune_operator.job.parse_children import has_ended, parse_job


def former_runs(finetunejob: FineTuneJob, jobs: Iterable[JsonObject], pods: Iterable[JsonObject]) -> FormerRuns | None:
    """Those of the Jobs and pods that belong to former runs and are still there; None if there are none.

    A pod may outlive its Job by the time that its trainer takes to save.
    """
    present = finetunejob.run.number
    old_jobs = [raw for raw in jobs if run_of(raw) != present and is_ours(raw, finetunejob)]
    old_pods = [raw for raw in pods if run_of(raw) != present and is_of_our_job(raw, finetunejob)]
    running = tuple(sorted(raw["metadata"]["name"] for raw in old_pods if not has_ended(raw)))
    return FormerRuns(tuple(map(parse_job, old_jobs)), running) if old_jobs or running else None


def ending(run: Run, former: FormerRuns) -> Cause:
    """Why the present run does not begin yet."""
    what = f"run {run.number} begins when all of run {run.number - 1} has ended"
    if not former.pods:
        return Cause(Reason.ENDING_FORMER_RUN, f"{what}: its Job is being deleted")
    others = f" and {len(former.pods) - 1} more" if len(former.pods) > 1 else ""
    return Cause(Reason.ENDING_FORMER_RUN, f"{what}: the pod {former.pods[0]}{others} saves and stops")
