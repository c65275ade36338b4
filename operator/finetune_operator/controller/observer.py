"""Reads what the cluster holds of one FineTuneJob: from the caches, and from the API server where they do not suffice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.cache import Entry
from finetune_operator.controller.explainer import Explainer
from finetune_operator.job.claims import claim_of
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.former_runs import ending, former_runs
from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.job.observation import Cause, Hearing, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.ownership import conflict, controller, job_as_owner, own_pods
from finetune_operator.job.parse_children import parse_job, parse_pods, trim_job, trim_pod
from finetune_operator.job.preflight import preflight_spec, wants_preflight
from finetune_operator.job.run import has_begun
from finetune_operator.kube.client import JOBS, PODS, PVCS, Kind, Kube
from finetune_operator.kube.errors import api_message
from finetune_operator.kube.informer import Informer
from finetune_operator.status.unused_claim import unused_claim


class Observer:
    """Reads only. A cache is trusted for what it holds, and never for what it does not."""

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
        self._kube = kube
        self._own_jobs = own_jobs
        self._explainer = Explainer(kube, clock)
        self._trouble_of = trouble_of
        self._clock = clock
        self._jobs = jobs
        self._pods = pods

    async def observe(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> Observation:
        """Return what there is of the job: its Jobs, their pods, the last reports, and what is in their way.

        What was in their way a short while ago still is: the API server is asked again when that is due.
        """
        observed = await self._observe(finetunejob, entry, now)
        if entry.reports.refused:
            return observed.without_reports(entry.reports.refused, "all of it (the API server refuses it)")
        return observed

    async def _observe(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> Observation:
        observed = self._cached(finetunejob, finetunejob.names.job, entry)
        if finetunejob.terminal or not finetunejob.status.attempts:
            preflight = self._cached(finetunejob, finetunejob.names.preflight_job, entry)
            observed = replace(observed, preflight=preflight if preflight.job else None)
        spec = finetunejob.spec
        if unused_claim(finetunejob, observed, now) is not None:
            # What the caches hold of a pod may be from before it ran and saved.
            return self._with_pods(
                observed, finetunejob, finetunejob.names.job, entry, await self._list(PODS, finetunejob, trim_pod)
            )
        if finetunejob.terminal or spec is None:
            return replace(observed, tried=tuple(entry.tried.values()))
        if observed.job is None:
            to_be_made = observed.preflight is None or observed.preflight.passed
            if to_be_made and entry.obstacle.holds(about_children(finetunejob), self._clock()):
                return replace(observed, blocked=entry.obstacle.cause)
            if finetunejob.run.number > 1 and not has_begun(finetunejob.status):
                former = former_runs(finetunejob, *await self._labelled(finetunejob))
                if former is not None:
                    return replace(observed, former=former, blocked=ending(finetunejob.run, former))
            observed = await self._look_for_jobs(finetunejob, spec, observed, entry, now)
        return await self._look_closer(finetunejob, observed, spec, entry, now)

    def _cached(self, finetunejob: FineTuneJob, name: str, entry: Entry) -> Observation:
        """What the caches hold of one of the two Jobs."""
        raw = self._jobs.get(finetunejob.namespace, name)
        ours = raw if raw is not None and self._own_jobs.is_own(raw, finetunejob) else None
        job = parse_job(ours) if ours else None
        return self._with_pods(Observation(job=job, unread=entry.reports.unread), finetunejob, name, entry)

    def _with_pods(
        self,
        observed: Observation,
        finetunejob: FineTuneJob,
        name: str,
        entry: Entry,
        live: list[JsonObject] | None = None,
    ) -> Observation:
        """The observation of the Job of this name with the pods of it, cached if not `live`, and what they reported."""
        there = self._pods.labelled(finetunejob.uid) if live is None else live
        if observed.job is not None:
            entry.jobs.add(job_as_owner(name, observed.job.uid))
        jobs = [job for job in entry.jobs if job.name == name]
        pods = own_pods(finetunejob.namespace, jobs, there)
        observed = replace(observed, pods=parse_pods(pods, entry.reports.received))
        address = observed.attempts[-1].address if observed.attempts else None
        return replace(observed, hearing=Hearing(entry.heard_since, self._trouble_of(address or "")))

    async def _look_for_jobs(
        self,
        finetunejob: FineTuneJob,
        spec: FineTuneJobSpec,
        observed: Observation,
        entry: Entry,
        now: datetime,
    ) -> Observation:
        """Ask the API server for what a preflight depends on, where one is to come first.

        Whether there is a Job that trains is not asked otherwise: to make it is to find out, since there is never a second of its name.
        """
        check_first = wants_preflight(finetunejob, spec)
        preflight = observed.preflight and await self._look_closer(
            finetunejob, observed.preflight, preflight_spec(spec), entry, now
        )
        if preflight or not check_first:
            return replace(observed, preflight=preflight)
        names = finetunejob.names
        job, in_the_way = await self._live(finetunejob, names.job, entry)
        observed = replace(observed, job=job, blocked=in_the_way, preflight=preflight)
        observed = self._with_pods(observed, finetunejob, names.job, entry)
        if job or in_the_way:
            return observed
        job, in_the_way = await self._live(finetunejob, names.preflight_job, entry)
        if job is None:
            bound = in_the_way is None and await self._output_is_bound(finetunejob, spec)
            observed = replace(observed, check_first=check_first, output_bound=bound)
            return replace(observed, blocked=in_the_way, preflight=None)
        found = Observation(job=job, unread=entry.reports.unread)
        found = self._with_pods(found, finetunejob, names.preflight_job, entry)
        return replace(
            observed, preflight=await self._look_closer(finetunejob, found, preflight_spec(spec), entry, now)
        )

    async def _live(self, finetunejob: FineTuneJob, name: str, entry: Entry) -> tuple[JobState | None, Cause | None]:
        """The Job of this name, or what is in its way: one that another made, or rights that the operator lacks."""
        if entry.made is not None:
            # It was looked up before what it needs was made. To make it is to find out: there is never a second of its name.
            return None, None
        try:
            raw = await self._kube.get(JOBS, finetunejob.namespace, name)
        except ForbiddenException as error:
            # Retried without a word, it would leave the user with nothing but "creating the Job".
            return None, Cause(Reason.CREATE_FORBIDDEN, api_message(error))
        if raw is None:
            return None, None
        if not self._own_jobs.is_own(raw, finetunejob):
            return None, conflict(raw, "Job", finetunejob.uid)
        return parse_job(raw), None

    async def _labelled(self, finetunejob: FineTuneJob) -> tuple[list[JsonObject], list[JsonObject]]:
        """Jobs and pods with the label of the job: those that the caches hold, or else, since that proves nothing, those that there are."""
        jobs, pods = self._jobs.labelled(finetunejob.uid), self._pods.labelled(finetunejob.uid)
        if former_runs(finetunejob, jobs, pods) is not None:
            return jobs, pods
        return await self._list(JOBS, finetunejob, trim_job), await self._list(PODS, finetunejob, trim_pod)

    async def _list(
        self, kind: Kind, finetunejob: FineTuneJob, trim: Callable[[JsonObject], JsonObject]
    ) -> list[JsonObject]:
        """The objects with the label of the job, as they are now. Kept is what the caches keep: anybody can put that label on large ones."""
        selector = f"{LABEL_JOB_UID}={finetunejob.uid}"
        read = lambda raw: trim(raw) if controller(raw) is not None else None  # noqa: E731
        items, _ = await self._kube.list(kind, finetunejob.namespace, read, labelSelector=selector)
        return items

    async def _output_is_bound(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> bool:
        claim = claim_of(spec.output.uri or "")
        live = await self._kube.get(PVCS, finetunejob.namespace, claim) if claim else None
        return live is not None and (live.get("status") or {}).get("phase") == "Bound"

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
            pods = await self._list(PODS, finetunejob, trim_pod)
            return self._with_pods(observed, finetunejob, job.name, entry, pods)
        return await self._explainer.explain(finetunejob, observed, spec, entry, now)


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
