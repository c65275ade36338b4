"""Makes the next Job of a FineTuneJob, and what it needs before it."""

from collections.abc import Callable
from dataclasses import replace
from secrets import token_urlsafe

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.children.create import create, create_or_get, place_of
from finetune_operator.controller.children.shared import BEGIN_SECONDS, SharedObjects, of_namespace
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.ownership import changed, conflict, holds, is_our_claim, is_ours, job_as_owner, leaving
from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import JOBS, NETWORK_POLICIES, PVCS, SECRETS, SERVICES, Kind, Kube
from finetune_operator.manifests import build_children
from finetune_operator.manifests.metadata import child_metadata
from finetune_operator.manifests.run_secret import build_run_secret

_FIXED = {NETWORK_POLICIES: ("spec",), SERVICES: ("spec",)}
"""What a child has to hold that is there already: whoever may create such an object could have made it before us."""


class Maker:
    """Creates only. What is there already under the name of a child, and is not that child, is in the way."""

    def __init__(
        self, kube: Kube, shared: SharedObjects, pod_defaults: Callable[[], PodDefaults], own_jobs: OwnJobs
    ) -> None:
        self._kube = kube
        self._shared = shared
        self._pod_defaults = pod_defaults
        self._own_jobs = own_jobs

    async def make_next(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, entry: Entry
    ) -> Observation:
        """Make the Job of the preflight, or, once it has passed or where none is asked for, the Job that trains."""
        if (entry.own.falsified or entry.contest.times) and (taken := await self._taken(finetunejob)) is not None:
            return replace(observed, blocked=taken)
        pod_defaults = self._pod_defaults()
        run_secret = None if observed.check_first else await self._run_secret(finetunejob, spec, entry)
        children = build_children(
            finetunejob, spec, pod_defaults, run_secret=run_secret, output_bound=observed.output_bound
        )
        in_the_way = await self._shared.make_missing(
            finetunejob.namespace, of_namespace(children), known_for=BEGIN_SECONDS
        )
        if in_the_way is not None:
            return replace(observed, blocked=in_the_way)
        wanted: list[tuple[Kind, JsonObject | None]]
        if observed.check_first:
            wanted = [(JOBS, children.preflight_job)]
        else:
            wanted = [
                (NETWORK_POLICIES, children.network_policy),
                (PVCS, children.pvc),
                (SERVICES, children.service),
                (JOBS, children.job),
            ]
        at_once = not entry.made
        entry.made = entry.made or set()
        made, is_new = await self._make(finetunejob, wanted, entry.made)
        if isinstance(made, Cause):
            return replace(observed, blocked=made)
        entry.note_job(job_as_owner(made.name, made.uid))
        if at_once:
            # If not, what was made first may be gone by now, and is looked up by the next pass.
            entry.made = None
            # One that is suspended waits in a queue, perhaps, which the next pass asks.
            entry.made_job = made.version if is_new and not made.suspended else ""
        if observed.check_first:
            return replace(observed, preflight=Observation(job=made))
        entry.run_secret = None
        return replace(observed, job=made)

    async def _taken(self, finetunejob: FineTuneJob) -> Cause | None:
        """Why the Job that trains cannot be made, if another installation has one: its pods trust the authority that is there."""
        live = await self._kube.get(JOBS, finetunejob.namespace, finetunejob.names.job)
        return None if live is None else self._own_jobs.conflict(live, finetunejob)

    async def _run_secret(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, entry: Entry) -> str | None:
        """Return the name of the Secret of the run, which is made once for each Job; None where no pod needs one."""
        manifest = build_run_secret(child_metadata(finetunejob), finetunejob, spec, token_urlsafe())
        if manifest is not None and entry.run_secret is None:
            made = await self._kube.create(SECRETS, manifest)
            entry.run_secret = made["metadata"]["name"]
        return entry.run_secret

    async def _make(
        self, finetunejob: FineTuneJob, wanted: list[tuple[Kind, JsonObject | None]], already: set[tuple[str, str]]
    ) -> tuple[JobState | Cause, bool]:
        """Make those that are wanted, in their order; the last is a Job. Return it, or why another's object is in the way, and whether it is new.

        What is `already` made is left out, and what is made is added to it.
        """
        made: JsonObject = {}
        is_new = False
        for kind, manifest in wanted:
            if manifest is None or place_of(kind, manifest) in already:
                continue
            made, is_new = await create_or_get(
                self._kube, kind, self._own_jobs.seal(manifest, finetunejob) if kind is JOBS else manifest
            )
            in_the_way = self._in_the_way(kind, made, manifest, finetunejob)
            if in_the_way is not None and in_the_way.reason == Reason.CONFIG_CHANGED:
                in_the_way = await self._make_anew(kind, made, manifest, finetunejob)
            if in_the_way is not None:
                return in_the_way, False
            if kind != JOBS:
                already.add(place_of(kind, manifest))
        return parse_job(made), is_new

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
        return self._in_the_way(kind, await create(self._kube, kind, manifest), manifest, finetunejob)

    def _in_the_way(self, kind: Kind, made: JsonObject, manifest: JsonObject, finetunejob: FineTuneJob) -> Cause | None:
        """Why an object of a child's name is not the one that is wanted."""
        if kind is JOBS:
            return self._own_jobs.conflict(made, finetunejob)
        if not (is_our_claim(made, finetunejob) if kind is PVCS else is_ours(made, finetunejob)):
            return conflict(made, manifest["kind"], finetunejob.uid)
        if "deletionTimestamp" in made["metadata"]:
            return leaving(made, manifest["kind"])
        if kind in _FIXED and not holds(made, {name: manifest[name] for name in _FIXED[kind]}):
            return changed(made, manifest["kind"])
        return None
