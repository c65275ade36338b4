"""Makes the children of a FineTuneJob, and keeps to what may change of them."""

from dataclasses import dataclass, replace

from kubernetes.aio.client.exceptions import (
    BadRequestException,
    ConflictException,
    ForbiddenException,
    UnprocessableEntityException,
)

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.job.names import job_name, preflight_job_name
from finetune_operator.job.observation import Cause, JobState, Observation, parse_job
from finetune_operator.job.ownership import conflict, is_ours
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, PVCS, SERVICES, Kind, Kube
from finetune_operator.kube.errors import api_message
from finetune_operator.manifests import build_children
from finetune_operator.manifests.config_map import CA_FILE, build_config_map
from finetune_operator.manifests.job import changes, changes_after_the_end
from finetune_operator.manifests.pod import claim_of
from finetune_operator.manifests.preflight_job import build_preflight_job
from finetune_operator.manifests.service import build_service

_LATER = (ForbiddenException,)
"""A quota, a namespace that goes away, or a policy: it may change."""
_NEVER = (BadRequestException, UnprocessableEntityException)
"""What the API server finds invalid stays so, since the spec is immutable."""


@dataclass(frozen=True)
class Made:
    """What stands of the children: the Job, or why there is none."""

    job: JobState | None = None
    preflight: JobState | None = None
    """The Job that has to succeed before."""
    blocked: Cause | None = None
    refused: Cause | None = None

    def within(self, observed: Observation) -> Observation:
        """The observation, with this in it."""
        preflight = observed.preflight
        if self.preflight is not None:
            preflight = replace(preflight or Observation(received=observed.received), job=self.preflight)
        return replace(observed, job=self.job, blocked=self.blocked, refused=self.refused, preflight=preflight)


class Children:
    """Writes to ConfigMaps, claims, Services and Jobs. Only Job and ConfigMap change after they are made, and little."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._prepared: dict[Key, tuple[str, str | None]] = {}
        """The authority that the ConfigMap was last seen to hold, and the uid of the first pod at that time."""

    def forget(self, key: Key) -> None:
        """The job has ended or is gone."""
        self._prepared.pop(key, None)

    async def make(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults, *, preflight: bool
    ) -> Made:
        """Make what is missing, for a FineTuneJob of which the cache holds no Job.

        With `preflight` the Job that trains, and what only that needs, is made once the preflight's has succeeded.
        """
        # A cache is never trusted for absence: a second Job would be a second run.
        live = await self._live_job(finetunejob, job_name(finetunejob.key.name))
        try:
            if live is None and preflight:
                checked = await self._make_preflight(finetunejob, spec, pod_defaults)
                job = checked.preflight
                if job is None or job.deleting or job.end is None or not job.end.succeeded:
                    return checked
            return (
                await self._make_job(finetunejob, spec, pod_defaults)
                if live is None
                else self._found(finetunejob, live)
            )
        except _LATER as error:
            return Made(blocked=Cause("CreateForbidden", api_message(error)))
        except _NEVER as error:
            return Made(refused=Cause("SpecRefused", api_message(error)))

    async def _make_job(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults) -> Made:
        children = build_children(finetunejob, spec, pod_defaults)
        made = await self._make_all(
            finetunejob,
            [
                (CONFIG_MAPS, children.config_map),
                (PVCS, children.pvc),
                (SERVICES, children.service),
                (JOBS, children.job),
            ],
        )
        self._prepared[finetunejob.key] = pod_defaults.ca, None
        return made

    async def _make_preflight(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults) -> Made:
        live = await self._live_job(finetunejob, preflight_job_name(finetunejob.key.name))
        if live is None:
            bound = await self._output_is_bound(finetunejob, spec)
            job = build_preflight_job(finetunejob, spec, pod_defaults, output_bound=bound)
            config_map = build_config_map(finetunejob, spec, pod_defaults.ca)
            made = await self._make_all(finetunejob, [(CONFIG_MAPS, config_map), (JOBS, job)])
            self._prepared[finetunejob.key] = pod_defaults.ca, None
        else:
            made = self._found(finetunejob, live)
        return replace(made, job=None, preflight=made.job)

    async def _output_is_bound(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> bool:
        claim = claim_of(spec.output.uri or "")
        live = await self._kube.get(PVCS, finetunejob.key.namespace, claim) if claim else None
        return live is not None and (live.get("status") or {}).get("phase") == "Bound"

    async def _make_all(self, finetunejob: FineTuneJob, wanted: list[tuple[Kind, JsonObject | None]]) -> Made:
        """Make those that are wanted, in their order; the last is a Job."""
        made: JsonObject = {}
        for kind, manifest in wanted:
            if manifest is not None:
                made = await self._create(kind, manifest)
                if not is_ours(made, finetunejob.uid):
                    return Made(blocked=conflict(made, manifest["kind"]))
        return Made(job=parse_job(made))

    async def _live_job(self, finetunejob: FineTuneJob, name: str) -> JsonObject | None:
        return await self._kube.get(JOBS, finetunejob.key.namespace, name)

    def _found(self, finetunejob: FineTuneJob, live: JsonObject) -> Made:
        if not is_ours(live, finetunejob.uid):
            return Made(blocked=conflict(live, "Job"))
        return Made(job=parse_job(live))

    async def _create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        """The object as it was created, or the one of that name that is there already."""
        try:
            return await self._kube.create(kind, manifest)
        except ConflictException:
            live = await self._kube.get(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            if live is None:
                raise
            return live

    async def sync_mutable_fields(
        self,
        finetunejob: FineTuneJob,
        spec: FineTuneJobSpec,
        job: JobState,
        first_pod: str | None,
        pod_defaults: PodDefaults,
    ) -> JobState:
        """Pass on what may change while the Job runs: suspension, limits, and the authority of the report endpoint.

        `first_pod` is the uid of the newest attempt's: for each new one, what its pods need is there again.
        """
        prepared = pod_defaults.ca, first_pod
        if self._prepared.get(finetunejob.key) != prepared:
            await self._prepare(finetunejob, spec, pod_defaults)
            self._prepared[finetunejob.key] = prepared
        return await self._patch(finetunejob, job, changes(job.requested, spec))

    async def sync_ttl(self, finetunejob: FineTuneJob, job: JobState) -> None:
        """Hand the time to live to a Job that has ended."""
        if finetunejob.spec is not None:
            await self._patch(finetunejob, job, changes_after_the_end(job.requested, finetunejob.spec))

    async def delete_job(self, finetunejob: FineTuneJob, job: JobState) -> None:
        """Delete the Job with its pods, so that nothing of it holds a GPU."""
        await self._kube.delete(JOBS, finetunejob.key.namespace, job.name, job.uid)

    async def _patch(self, finetunejob: FineTuneJob, job: JobState, patch: JsonObject | None) -> JobState:
        if patch is None:
            return job
        # The uid is a precondition: a Job of the same name that was made meanwhile is not touched.
        patch = {**patch, "metadata": {**patch["metadata"], "uid": job.uid}}
        return parse_job(await self._kube.merge(JOBS, finetunejob.key.namespace, job.name, patch))

    async def _prepare(self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults) -> None:
        """Make ConfigMap and Service again where somebody deleted them, and keep the authority up to date."""
        config_map = build_config_map(finetunejob, spec, pod_defaults.ca)
        live = await self._find_or_create(CONFIG_MAPS, config_map)
        if is_ours(live, finetunejob.uid) and live.get("data", {}).get(CA_FILE) != pod_defaults.ca:
            await self._kube.apply(CONFIG_MAPS, config_map)
        service = build_service(finetunejob, spec)
        if service is not None:
            await self._find_or_create(SERVICES, service)

    async def _find_or_create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        # Asked for before: a quota that is used up refuses to create even what is there.
        metadata = manifest["metadata"]
        live = await self._kube.get(kind, metadata["namespace"], metadata["name"])
        return live or await self._kube.create(kind, manifest)
