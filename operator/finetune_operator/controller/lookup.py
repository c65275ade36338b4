"""Looks up the two Jobs of a FineTuneJob and their pods: in the caches, or at the API server. What another made is not among them."""

from collections.abc import Callable
from dataclasses import replace

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.entry import Entry
from finetune_operator.job.claims import claim_of
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.former_runs import ending, former_runs
from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.job.observation import Cause, Hearing, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.ownership import conflict, controller, job_as_owner, own_pods
from finetune_operator.job.parse_children import (
    parse_job,
    parse_pods,
    trim_job,
    trim_pod,
    worth_of_job,
    worth_of_pod,
)
from finetune_operator.kube.client import JOBS, PODS, PVCS, Kind, Kube
from finetune_operator.kube.crowd import Worth, is_crowded, most_telling
from finetune_operator.kube.errors import api_message
from finetune_operator.kube.informer import Informer


class Lookup:
    """Each question is asked here once, and its answer is parsed here. A cache is trusted for what it holds, and never for what it does not."""

    def __init__(
        self, kube: Kube, *, jobs: Informer, pods: Informer, own_jobs: OwnJobs, trouble_of: Callable[[str], str]
    ) -> None:
        """`trouble_of` returns what the last connection of an address to the report endpoint came to nothing of."""
        self._kube = kube
        self._jobs = jobs
        self._pods = pods
        self._own_jobs = own_jobs
        self._trouble_of = trouble_of

    def cached(self, finetunejob: FineTuneJob, entry: Entry) -> Observation:
        """What the caches hold: the Job that trains, and the preflight's, unless an attempt to train is known that goes on."""
        names = [finetunejob.names.job]
        if finetunejob.terminal or not finetunejob.status.attempts:
            names.append(finetunejob.names.preflight_job)
        jobs = [self._cached_job(finetunejob, name) for name in names]
        pods = self._pods.labelled(finetunejob.uid)
        observed, *checking = [
            self._stage(finetunejob, name, job, pods, entry) for name, job in zip(names, jobs, strict=True)
        ]
        return replace(observed, preflight=next((each for each in checking if each.job is not None), None))

    async def asked(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, entry: Entry) -> Observation:
        """What there is of a job that is to have a preflight, where the caches know of no Job: also what is in the way of one.

        Whether there is a Job that trains is not asked otherwise: to make it is to find out, since there is never a second of its name.
        """
        names, labelled = finetunejob.names, self._pods.labelled
        job, in_the_way = await self._live_job(finetunejob, names.job, entry)
        observed = self._stage(finetunejob, names.job, job, labelled(finetunejob.uid), entry)
        if job is not None or in_the_way is not None:
            return replace(observed, blocked=in_the_way)
        job, in_the_way = await self._live_job(finetunejob, names.preflight_job, entry)
        if job is not None:
            preflight = self._stage(finetunejob, names.preflight_job, job, labelled(finetunejob.uid), entry)
            return replace(observed, preflight=preflight)
        bound = in_the_way is None and await self._output_is_bound(finetunejob, spec)
        return replace(observed, check_first=True, output_bound=bound, blocked=in_the_way)

    async def with_live_pods(
        self, finetunejob: FineTuneJob, observed: Observation, name: str, entry: Entry
    ) -> Observation:
        """The observation of the Job of this name with its pods as they are now: what the caches hold of one may be from before its end."""
        pods = await self._list_pods(finetunejob)
        now = self._stage(finetunejob, name, observed.job, pods, entry)
        return replace(observed, pods=now.pods, hearing=now.hearing)

    async def with_former_runs(self, finetunejob: FineTuneJob, observed: Observation) -> Observation:
        """The observation with what is still there of former runs, by the caches, or else, since these prove nothing, by what there is."""
        jobs, pods = self._jobs.labelled(finetunejob.uid), self._pods.labelled(finetunejob.uid)
        former = former_runs(finetunejob, jobs, pods)
        if former is None:
            jobs = await self._list(JOBS, finetunejob, trim_job, worth_of_job)
            pods = await self._list_pods(finetunejob)
            former = former_runs(finetunejob, jobs, pods)
        if former is None:
            return observed
        return replace(observed, former=former, blocked=ending(finetunejob.run, former))

    def _stage(
        self, finetunejob: FineTuneJob, name: str, job: JobState | None, pods: list[JsonObject], entry: Entry
    ) -> Observation:
        """The operator's own Job of this name, if it is there, with those of the pods that belong to it, and what they reported."""
        if job is not None:
            entry.note_job(job_as_owner(name, job.uid))
        jobs = [each for each in entry.jobs if each.name == name]
        own = own_pods(finetunejob.namespace, jobs, pods)
        observed = Observation(job=job, pods=parse_pods(own, entry.reports.received), unread=entry.reports.unread)
        address = observed.attempts[-1].address if observed.attempts else None
        return replace(observed, hearing=Hearing(entry.heard_since, self._trouble_of(address or "")))

    def _cached_job(self, finetunejob: FineTuneJob, name: str) -> JobState | None:
        raw = self._jobs.get(finetunejob.namespace, name)
        if raw is None or not self._own_jobs.is_own(raw, finetunejob):
            return None
        return parse_job(raw)

    async def _live_job(
        self, finetunejob: FineTuneJob, name: str, entry: Entry
    ) -> tuple[JobState | None, Cause | None]:
        """The Job of this name, or what is in its way: one that another made, or rights that the operator lacks."""
        if entry.made is not None:
            # It was looked up before what it needs was made. To make it is to find out: there is never a second of its name.
            return None, None
        try:
            raw = await self._kube.get(JOBS, finetunejob.namespace, name)
        except ForbiddenException as error:
            # Retried without a word, it would leave the user with nothing but "waiting for a pod".
            return None, Cause(Reason.CREATE_FORBIDDEN, api_message(error))
        if raw is None:
            return None, None
        if not self._own_jobs.is_own(raw, finetunejob):
            return None, conflict(raw, "Job", finetunejob.uid)
        return parse_job(raw), None

    async def _list_pods(self, finetunejob: FineTuneJob) -> list[JsonObject]:
        return await self._list(PODS, finetunejob, trim_pod, worth_of_pod)

    async def _list(
        self,
        kind: Kind,
        finetunejob: FineTuneJob,
        trim: Callable[[JsonObject], JsonObject],
        worth: Worth[JsonObject],
    ) -> list[JsonObject]:
        """The objects with the label of the job, as they are now. Kept is what the caches keep: anybody can put that label on large ones,
        and on any number of them."""
        read = lambda raw: trim(raw) if controller(raw) is not None else None  # noqa: E731
        found: list[JsonObject] = []
        selector = {"labelSelector": f"{LABEL_JOB_UID}={finetunejob.uid}"}
        async for page in self._kube.pages(kind, finetunejob.namespace, read, selector):
            found += page.items
            if is_crowded(len(found)):
                found = most_telling(found, worth)
        return found

    async def _output_is_bound(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> bool:
        claim = claim_of(spec.output.uri or "")
        live = await self._kube.get(PVCS, finetunejob.namespace, claim) if claim else None
        return live is not None and (live.get("status") or {}).get("phase") == "Bound"
