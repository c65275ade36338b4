"""Makes the children of a FineTuneJob, and keeps in step what may change of them."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from secrets import token_urlsafe

from kubernetes.aio.client.exceptions import (
    BadRequestException,
    ConflictException,
    ForbiddenException,
    UnprocessableEntityException,
)

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.kueue import Kueue
from finetune_operator.controller.shared import SharedObjects, Wanted
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import child_names
from finetune_operator.job.observation import Cause, FormerRuns, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.ownership import changed, conflict, holds, is_our_claim, is_ours, leaving
from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.workload import InQueue
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, NETWORK_POLICIES, PVCS, SECRETS, SERVICES, Kind, Kube
from finetune_operator.kube.errors import api_message
from finetune_operator.manifests import Manifests, build_children
from finetune_operator.manifests.config_map import build_authority, digest_of, mounted_digest
from finetune_operator.manifests.job import changes, changes_after_the_end
from finetune_operator.manifests.metadata import child_metadata
from finetune_operator.manifests.run_secret import build_run_secret
from finetune_operator.status.image_pulls import is_unpulled
from finetune_operator.status.stall import is_being_ended
from finetune_operator.status.unused_claim import unused_claim

_LATER = (ForbiddenException,)
"""A quota, a namespace that goes away, or a policy: it may change."""
_ENDED_BY_US = (Reason.PRE_RUNNING_DEADLINE_EXCEEDED, Reason.PROGRESS_STALLED)
"""Failures of a job whose Job has not failed."""
_NEVER = (BadRequestException, UnprocessableEntityException)
"""What the API server finds invalid stays so, since the spec is immutable."""
_FIXED = {CONFIG_MAPS: ("data",), NETWORK_POLICIES: ("spec",), SERVICES: ("spec",)}
"""What a child has to hold that is there already: whoever may create such an object could have made it before us."""

logger = logging.getLogger(__name__)


class Children:
    """Writes ConfigMaps, Secrets, NetworkPolicies, claims, Services and Jobs. Only Job and authority change after they are made, and little."""

    def __init__(
        self,
        kube: Kube,
        pod_defaults: Callable[[], PodDefaults],
        own_jobs: OwnJobs,
        clock: Callable[[], float] = time.monotonic,
        kueue: Kueue | None = None,
    ) -> None:
        """`kueue` passes suspension on to the queue of a Job, and says why it waits there."""
        self._kube = kube
        self._kueue = kueue
        self._own_jobs = own_jobs
        self._pod_defaults = pod_defaults
        self._shared = SharedObjects(kube, clock)

    async def ensure(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry, now: datetime) -> Observation:
        """Bring the children to what the spec asks for. Return the observation with what was made and changed in it."""
        spec, preflight = finetunejob.spec, observed.preflight
        if finetunejob.terminal:
            released = await self._release_claim(finetunejob, observed, now)
            await self._clean_up(finetunejob, observed)
            return replace(observed, released=released)
        if spec is None:
            return observed
        if observed.job is not None:
            return await self._sync(finetunejob, spec, observed, entry, now)
        if observed.former is not None:
            await self._end(finetunejob, observed.former)
        if observed.blocked is not None or observed.refused is not None:
            return observed
        if preflight is not None and not preflight.passed:
            return replace(observed, preflight=await self._sync(finetunejob, spec, preflight, entry, now))
        try:
            return await self._make_next(finetunejob, spec, observed, entry)
        except _LATER as error:
            return replace(observed, blocked=Cause(Reason.CREATE_FORBIDDEN, api_message(error)))
        except _NEVER as error:
            return replace(observed, refused=Cause(Reason.SPEC_REFUSED, api_message(error)))

    async def _end(self, finetunejob: FineTuneJob, former: FormerRuns) -> None:
        """End the runs before the present one: without their Jobs their pods are stopped, and the trainer saves."""
        for job in former.jobs:
            if not job.deleting:
                await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid)

    async def tidy_up(self, finetunejob: FineTuneJob) -> None:
        """Delete what nothing uses any more of the run before the present one, once that has ended. Its output stays.

        Secrets are the exception: none may be read, and so none is found. Like all children they go with the FineTuneJob.
        """
        names = child_names(finetunejob.name, finetunejob.uid, finetunejob.run.number - 1)
        for kind, name in (
            (CONFIG_MAPS, names.config_map),
            (NETWORK_POLICIES, names.job),
            (SERVICES, names.service),
        ):
            live = await self._kube.get(kind, finetunejob.namespace, name)
            if live is not None and is_ours(live, finetunejob):
                await self._kube.delete(kind, finetunejob.namespace, name, live["metadata"]["uid"])

    async def _make_next(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, entry: Entry
    ) -> Observation:
        """Make the Job of the preflight, or, once it has passed or where none is asked for, the Job that trains."""
        pod_defaults = self._pod_defaults()
        run_secret = None if observed.check_first else await self._run_secret(finetunejob, spec, entry)
        children = build_children(
            finetunejob, spec, pod_defaults, run_secret=run_secret, output_bound=observed.output_bound
        )
        in_the_way = await self._shared.ensure(finetunejob.namespace, _shared(children), anew=True)
        if in_the_way is not None:
            return replace(observed, blocked=in_the_way)
        wanted: list[tuple[Kind, JsonObject | None]] = [(CONFIG_MAPS, children.config_map)]
        if observed.check_first:
            wanted += [(JOBS, children.preflight_job)]
        else:
            wanted += [
                (NETWORK_POLICIES, children.network_policy),
                (PVCS, children.pvc),
                (SERVICES, children.service),
                (JOBS, children.job),
            ]
        at_once = not entry.made
        entry.made = entry.made or set()
        made = await self._make(finetunejob, wanted, entry.made)
        if isinstance(made, Cause):
            return replace(observed, blocked=made)
        if at_once:
            # If not, what was made first may be gone by now, and is looked up by the next pass.
            entry.made = None
        if observed.check_first:
            return replace(observed, preflight=Observation(job=made))
        entry.run_secret = None
        return replace(observed, job=made)

    async def _run_secret(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, entry: Entry) -> str | None:
        """Return the name of the Secret of the run, which is made once for each Job; None where no pod needs one."""
        manifest = build_run_secret(child_metadata(finetunejob), finetunejob, spec, token_urlsafe())
        if manifest is not None and entry.run_secret is None:
            made = await self._kube.create(SECRETS, manifest)
            entry.run_secret = made["metadata"]["name"]
        return entry.run_secret

    async def _make(
        self, finetunejob: FineTuneJob, wanted: list[tuple[Kind, JsonObject | None]], already: set[tuple[str, str]]
    ) -> JobState | Cause:
        """Make those that are wanted, in their order; the last is a Job. Return it, or why another's object is in the way.

        What is `already` made is left out, and what is made is added to it.
        """
        made: JsonObject = {}
        for kind, manifest in wanted:
            if manifest is None or _place(kind, manifest) in already:
                continue
            made = await self._create(kind, self._own_jobs.seal(manifest, finetunejob) if kind is JOBS else manifest)
            in_the_way = self._in_the_way(kind, made, manifest, finetunejob)
            if in_the_way is not None and in_the_way.reason == Reason.CONFIG_CHANGED:
                in_the_way = await self._make_anew(kind, made, manifest, finetunejob)
            if in_the_way is not None:
                return in_the_way
            if kind != JOBS:
                already.add(_place(kind, manifest))
        return parse_job(made)

    async def _make_anew(
        self, kind: Kind, live: JsonObject, manifest: JsonObject, finetunejob: FineTuneJob
    ) -> Cause | None:
        """Make another in the place of a child that holds something else, as one of an operator of before may. Return what is in the way.

        Not beside a Job, which runs by what there is: the cache will show it.
        """
        namespace, names = finetunejob.namespace, finetunejob.names
        for name in (names.job, names.preflight_job):
            job = await self._kube.get(JOBS, namespace, name)
            if job is not None and (name == names.job or parse_job(job).end is None):
                return changed(live, manifest["kind"])
        await self._kube.delete(kind, namespace, manifest["metadata"]["name"], live["metadata"]["uid"])
        return self._in_the_way(kind, await self._create(kind, manifest), manifest, finetunejob)

    def _in_the_way(self, kind: Kind, made: JsonObject, manifest: JsonObject, finetunejob: FineTuneJob) -> Cause | None:
        """Why an object of a child's name is not the one that is wanted."""
        if not self._is_own(kind, made, finetunejob):
            return conflict(made, manifest["kind"], finetunejob.uid)
        if kind != JOBS and "deletionTimestamp" in made["metadata"]:
            return leaving(made, manifest["kind"])
        if kind in _FIXED and not holds(made, {name: manifest[name] for name in _FIXED[kind]}):
            return changed(made, manifest["kind"])
        return None

    def _is_own(self, kind: Kind, made: JsonObject, finetunejob: FineTuneJob) -> bool:
        """Whether an object of a child's name is that child, as far as this can be known."""
        if kind is JOBS:
            return self._own_jobs.is_own(made, finetunejob)
        return is_our_claim(made, finetunejob) if kind is PVCS else is_ours(made, finetunejob)

    async def _create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        """The object as it was created, or the one of that name that is there already."""
        try:
            return await self._kube.create(kind, manifest)
        except ConflictException:
            live = await self._kube.get(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            if live is None:
                raise
            return live

    async def _sync(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, entry: Entry, now: datetime
    ) -> Observation:
        """Pass on what may change while a Job runs: suspension, limits, and the authority of the report endpoint.

        For an attempt that does not start, what its pods need is looked up, and made again where it was deleted.
        """
        job = observed.job
        if job is None or job.end is not None:
            return observed
        ending = is_being_ended(finetunejob.status.attempts, observed)
        if ending and job.queue is not None:
            # Kueue would start it again at once. Another is made when this one has gone, after its pods.
            await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid, after_children=True)
            return observed
        wanted = spec.model_copy(update={"suspend": True}) if ending else spec
        in_queue = await self._kueue.ensure(finetunejob, spec, job, entry) if self._kueue is not None else None
        if in_queue is not None:
            observed = _with_queue(observed, in_queue, spec)
        patch = changes(job.requested, wanted, started_by_queue=in_queue is not None)
        pod_defaults = self._pod_defaults()
        if spec.pod.image is None and job.image != pod_defaults.image and is_unpulled(finetunejob.status, observed):
            # The operator's default was wrong, and has been corrected: the next pass makes the Job anew.
            await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid)
            return observed
        stuck = observed.stuck(now)
        if (stuck is not None and entry.restored != stuck) or entry.made is not None:
            if not await self._restore(finetunejob, job, build_children(finetunejob, spec, pod_defaults), entry):
                return observed
            entry.restored = stuck
        if entry.own.falsified:
            # By another installation, perhaps, which has put its own authority in the place of this one's.
            self._shared.doubt(finetunejob.namespace)
        authority = CONFIG_MAPS, build_authority(finetunejob.namespace, pod_defaults.ca)
        await self._shared.ensure(finetunejob.namespace, [authority], anew=False)
        return replace(observed, job=await self._patch(finetunejob, job, self._own_jobs.adopt(patch, job, finetunejob)))

    async def _restore(self, finetunejob: FineTuneJob, job: JobState, children: Manifests, entry: Entry) -> bool:
        """Make ConfigMap, NetworkPolicies and Service again where they were deleted.

        The claim too, once, where it was made long before the Job. Return False where the Job cannot go on with them, and is deleted:
        another is made when it has gone, after its pods.
        """
        await self._shared.ensure(finetunejob.namespace, _shared(children), anew=True)
        if not await self._restore_config_map(finetunejob, job, children.config_map):
            logger.info("%s: its ConfigMap is gone and was of another version: the Job is made anew", finetunejob.key)
            await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid, after_children=True)
            return False
        for kind, manifest in ((NETWORK_POLICIES, children.network_policy), (SERVICES, children.service)):
            if manifest is not None:
                await self._find_or_create(kind, manifest)
        if children.pvc is not None and _place(PVCS, children.pvc) in (entry.made or ()):
            await self._find_or_create(PVCS, children.pvc)
        entry.made = None
        return True

    async def _restore_config_map(self, finetunejob: FineTuneJob, job: JobState, config_map: JsonObject) -> bool:
        """Have the ConfigMap there if it is the one that the Job's pods expect. One that is there is left as it is.

        The Job may have been made by an operator of another version, of whose `run.yaml` only the digest is left: before another one is
        made, which every pod would refuse, the Job goes.
        """
        if await self._kube.get(CONFIG_MAPS, finetunejob.namespace, config_map["metadata"]["name"]) is not None:
            return True
        live = await self._kube.get(JOBS, finetunejob.namespace, job.name)
        if live is not None and mounted_digest(live) not in (None, digest_of(config_map)):
            return False
        await self._create(CONFIG_MAPS, config_map)
        return True

    async def _find_or_create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        # Asked for before: a quota that is used up refuses to create even what is there.
        metadata = manifest["metadata"]
        live = await self._kube.get(kind, metadata["namespace"], metadata["name"])
        return live or await self._kube.create(kind, manifest)

    async def _patch(self, finetunejob: FineTuneJob, job: JobState, patch: JsonObject | None) -> JobState:
        if patch is None:
            return job
        # The uid is a precondition: a Job of the same name that was made meanwhile is not touched.
        patch = {**patch, "metadata": {**patch["metadata"], "uid": job.uid}}
        return parse_job(await self._kube.merge(JOBS, finetunejob.namespace, job.name, patch))

    async def _release_claim(self, finetunejob: FineTuneJob, observed: Observation, now: datetime) -> str | None:
        """Delete the claim of a job that has failed with nothing saved. Return its name, empty if it was gone; None if it stays.

        Before its pods go, by which that is known.
        """
        claim = unused_claim(finetunejob, observed, now)
        if claim is None:
            return None
        try:
            live = await self._kube.get(PVCS, finetunejob.namespace, claim)
            if live is None:
                return ""
            if not is_our_claim(live, finetunejob):
                return None
            await self._kube.delete(PVCS, finetunejob.namespace, claim, live["metadata"]["uid"])
        except (*_LATER, *_NEVER) as error:
            # Rights that were taken away, a webhook, a policy: what else is left to do for the job is done all the same.
            logger.warning("%s: the claim %s stays: %s", finetunejob.key, claim, api_message(error))
            return None
        return claim

    async def _clean_up(self, finetunejob: FineTuneJob, observed: Observation) -> None:
        """After the end of a FineTuneJob nothing is made again. Its Jobs get their time to live, or go with their pods."""
        failure = finetunejob.status.failure
        for stage in (observed, observed.preflight):
            job = stage.job if stage is not None else None
            if job is None or job.deleting:
                continue
            if job.end is not None and finetunejob.spec is not None:
                await self._patch(finetunejob, job, changes_after_the_end(job.requested, finetunejob.spec))
            elif job.end is None and failure is not None and failure.reason in _ENDED_BY_US:
                # Nothing of it may hold a GPU.
                await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid)


def _with_queue(observed: Observation, in_queue: InQueue, spec: FineTuneJobSpec) -> Observation:
    """The observation of a Job with what its queue makes of it."""
    if spec.suspend:
        return replace(observed, unheld=in_queue.message)
    waits = observed.job is not None and observed.job.suspended
    return replace(observed, blocked=in_queue) if waits else observed


def _shared(children: Manifests) -> list[Wanted]:
    """Those that belong to the namespace."""
    kinds = (CONFIG_MAPS, children.authority), (NETWORK_POLICIES, children.isolation), (PVCS, children.cache)
    return [(kind, manifest) for kind, manifest in kinds if manifest is not None]


def _place(kind: Kind, manifest: JsonObject) -> tuple[str, str]:
    return kind.plural, manifest["metadata"]["name"]
