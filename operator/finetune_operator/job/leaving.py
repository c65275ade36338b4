"""What goes: a Job that is being deleted is there no more, and a FineTuneJob that is being deleted gets no other."""

from dataclasses import replace

from finetune_api.reasons import Reason
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, JobState, Observation


def without_leaving(finetunejob: FineTuneJob, observed: Observation) -> Observation:
    """The observation without a Job that is being deleted, which is in the way of the next one. Once it is gone that is made, and resumes."""
    if finetunejob.deleting:
        # Finalizers may keep it for long. Its Job goes first.
        if observed.job is not None and not observed.job.deleting:
            return observed
        return replace(observed, job=None, blocked=Cause(Reason.JOB_DELETED, "it is being deleted, and its run ends"))
    stage = observed.under_way
    if observed.blocked is not None or stage.job is None or not stage.job.deleting:
        return observed
    why = f"the Job is being deleted{_kept(stage.job)}; a new one comes"
    without = replace(stage, job=None, blocked=Cause(Reason.JOB_DELETED, why))
    return without if stage is observed else replace(observed, preflight=without)


def _kept(job: JobState) -> str:
    if not job.kept_by:
        return ""
    return f", and kept until somebody takes away its finalizer{'s' if len(job.kept_by) > 1 else ''} {', '.join(job.kept_by)}"
