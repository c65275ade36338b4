"""How long a job may wait for its pods to run: `runPolicy.preRunningDeadlineSeconds`."""

from datetime import datetime, timedelta

from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.status.verdict import Verdict


def pre_running_due(finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation) -> datetime | None:
    """When the deadline passes of the Job that is under way, be it the preflight's or the one that trains.

    None if it does not run: there is no admission, or all pods ran after it, or the preflight's has reported.
    """
    under_way = observed.under_way
    seconds, job = spec.run_policy.pre_running_deadline_seconds, under_way.job
    if seconds is None or job is None or job.end is not None or job.suspended or job.start_time is None:
        return None
    if under_way is not observed and finetunejob.status.progress is not None:
        return None
    seen = [attempt.start_time for attempt in finetunejob.status.attempts]
    seen += [under_way.began(pod, _nodes(spec, observed)) for pod in under_way.attempts]
    if any(started is not None and started >= job.start_time for started in seen):
        return None
    return job.start_time + timedelta(seconds=seconds)


def pre_running_deadline(spec: FineTuneJobSpec, observed: Observation, verdict: Verdict, now: datetime) -> Verdict:
    """The end of a job whose pods did not run in time; `verdict` holds why they do not."""
    seconds = spec.run_policy.pre_running_deadline_seconds
    what = "no pod ran" if _nodes(spec, observed) == 1 else "not all pods ran"
    message = f"{what} within {seconds} s (runPolicy.preRunningDeadlineSeconds): {verdict.message}"
    hint = "correct what the message names, or raise runPolicy.preRunningDeadlineSeconds; then create the job again"
    return Verdict("Failed", Reason.PRE_RUNNING_DEADLINE_EXCEEDED, message, now, hint)


def _nodes(spec: FineTuneJobSpec, observed: Observation) -> int:
    """Pods of the Job that is under way: the preflight's has one."""
    return spec.resources.nodes if observed.under_way is observed else 1
