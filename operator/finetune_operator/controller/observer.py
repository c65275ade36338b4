"""Decides what has to be known of a FineTuneJob in this pass, and has it looked up: in the caches, or where they do not suffice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.explainer import Explainer
from finetune_operator.controller.lookup import Lookup
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.preflight import preflight_spec, wants_preflight
from finetune_operator.job.run import has_begun
from finetune_operator.kube.client import Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.status.failures.unused_claim import unused_claim


class Observer:
    """Reads only."""

    def __init__(
        self,
        kube: Kube,
        *,
        jobs: Informer,
        pods: Informer,
        own_jobs: OwnJobs,
        clock: Callable[[], float],
        trouble_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`trouble_of` returns what the last connection of an address to the report endpoint came to nothing of."""
        self._lookup = Lookup(kube, jobs=jobs, pods=pods, own_jobs=own_jobs, trouble_of=trouble_of)
        self._explainer = Explainer(kube, clock)
        self._clock = clock

    async def observe(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> Observation:
        """Return what there is of the job: its Jobs, their pods, the last reports, and what is in their way.

        What was in their way a short while ago still is: the API server is asked again when that is due.
        """
        observed = await self._observe(finetunejob, entry, now)
        if entry.reports.refused:
            return observed.without_reports(entry.reports.refused, "all of it (the API server refuses it)")
        return observed

    async def _observe(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> Observation:
        spec, observed = finetunejob.spec, self._lookup.cached(finetunejob, entry)
        if unused_claim(finetunejob, observed, now) is not None:
            observed = await self._lookup.with_live_pods(finetunejob, observed, finetunejob.names.job, entry)
        if finetunejob.terminal or spec is None:
            return replace(observed, tried=tuple(entry.tried.values()))
        if observed.job is None:
            to_be_made = not finetunejob.deleting and (observed.preflight is None or observed.preflight.passed)
            if to_be_made and entry.obstacle.holds(about_children(finetunejob), self._clock()):
                return replace(observed, blocked=entry.obstacle.cause)
            if finetunejob.run.number > 1 and not has_begun(finetunejob.status):
                observed = await self._lookup.with_former_runs(finetunejob, observed)
        if finetunejob.deleting:
            return _ending(observed)
        if observed.former is not None:
            return observed
        # One without a profile is given that first.
        is_to_begin = finetunejob.kept is not None and observed.job is None and observed.preflight is None
        if is_to_begin and wants_preflight(finetunejob, spec):
            observed = await self._lookup.asked(finetunejob, spec, entry)
        stage = observed.under_way
        given = spec if stage is observed else preflight_spec(spec)
        stage = await self._look_closer(finetunejob, stage, given, entry, now)
        return replace(observed, preflight=stage) if given is not spec else stage

    async def _look_closer(
        self, finetunejob: FineTuneJob, observed: Observation, spec: FineTuneJobSpec, entry: Entry, now: datetime
    ) -> Observation:
        """Add what the caches do not hold of the Job of this spec: how its pods ended, and why one does not come."""
        job = observed.job
        if job is None:
            return observed
        if job.deleting:
            # Once it is gone a new one is made, and resumes.
            return replace(
                observed,
                job=None,
                blocked=Cause(Reason.JOB_DELETED, f"the Job is being deleted{_kept(job)}; a new one comes"),
            )
        if job.end is not None and job.end.succeeded and _shows_success(observed, spec):
            return observed
        if job.end is not None:
            # The Job's end may be seen before the pods': the final report is read from the pods as they are now.
            return await self._lookup.with_live_pods(finetunejob, observed, job.name, entry)
        return await self._explainer.explain(finetunejob, observed, spec, entry, now)


def _ending(observed: Observation) -> Observation:
    """The observation of a job that is being deleted, and that finalizers keep: nothing more is looked for, and its Job goes."""
    if observed.job is not None and not observed.job.deleting:
        return observed
    return replace(observed, job=None, blocked=Cause(Reason.JOB_DELETED, "it is being deleted, and its run ends"))


def _shows_success(observed: Observation, spec: FineTuneJobSpec) -> bool:
    """Whether the cache shows how the run succeeded: all pods have ended, the first one well. A watch shows what came before that, too."""
    newest = observed.newest
    ended = [pod.terminated for pod in newest if pod.terminated is not None]
    return len(ended) == len(newest) == spec.resources.nodes and ended[0].exit_code == 0


def _kept(job: JobState) -> str:
    if not job.kept_by:
        return ""
    return f", and kept until somebody takes away its finalizer{'s' if len(job.kept_by) > 1 else ''} {', '.join(job.kept_by)}"


def about_children(finetunejob: FineTuneJob) -> tuple[str, int]:
    """What an obstacle is about that keeps a child from being made. Another spec may be taken."""
    return "children", finetunejob.generation
