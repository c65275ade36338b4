"""Keeps a Job that is there in step with the spec of its FineTuneJob."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from cachetools import TTLCache

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.children.refusable import Refusable, with_refusal
from finetune_operator.controller.children.restore import Restorer
from finetune_operator.controller.children.shared import SharedObjects
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, JobState, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.workload import InQueue
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, Kube
from finetune_operator.kube.errors import REFUSED, api_message
from finetune_operator.manifests import build_children
from finetune_operator.manifests.authority import build_authority
from finetune_operator.manifests.job import changes
from finetune_operator.status.stalls.ending import is_being_ended
from finetune_operator.status.waiting.image_pulls import is_unpulled

_NAMESPACES: Final = 10_000
_AGAIN_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


class JobSync:
    """Patches the Job, or deletes it where another is to take its place."""

    def __init__(
        self,
        kube: Kube,
        refusable: Refusable,
        shared: SharedObjects,
        restorer: Restorer,
        pod_defaults: Callable[[], PodDefaults],
        own_jobs: OwnJobs,
        kueue: Kueue | None,
        clock: Callable[[], float],
    ) -> None:
        self._kube = kube
        self._refusable = refusable
        self._shared = shared
        self._restorer = restorer
        self._pod_defaults = pod_defaults
        self._own_jobs = own_jobs
        self._kueue = kueue
        self._refused: TTLCache[str, str] = TTLCache(_NAMESPACES, _AGAIN_SECONDS, clock)
        """By namespace, the authority that could not be brought there."""

    async def sync(
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
            return with_refusal(
                observed, await self._refusable.delete_job(finetunejob, job, entry, after_children=True)
            )
        wanted = spec.model_copy(update={"suspend": True}) if ending else spec
        in_queue = await self._kueue.ensure(finetunejob, spec, job, entry) if self._kueue is not None else None
        if in_queue is not None:
            observed = _with_queue(observed, in_queue, spec)
        patch = changes(job.requested, wanted, started_by_queue=in_queue is not None)
        pod_defaults = self._pod_defaults()
        if spec.pod.image is None and job.image != pod_defaults.image and is_unpulled(finetunejob.status, observed):
            # The operator's default was wrong, and has been corrected: the next pass makes the Job anew.
            return with_refusal(observed, await self._refusable.delete_job(finetunejob, job, entry))
        stuck = observed.stuck(now)
        if (stuck is not None and entry.restored != stuck) or entry.made is not None:
            children = build_children(finetunejob, spec, pod_defaults)
            try:
                if not await self._restorer.restore(finetunejob, job, children, entry, is_stuck=stuck is not None):
                    return observed
                entry.restored = stuck
            except REFUSED as error:
                # What is known of the job is written all the same, and it can be suspended.
                observed = replace(observed, blocked=Cause(Reason.CREATE_FORBIDDEN, api_message(error)))
        if entry.own.falsified:
            # By another installation, perhaps, which has put its own authority in the place of this one's.
            self._shared.doubt(finetunejob.namespace)
        await self._renew_authority(finetunejob, pod_defaults)
        return await self._change(finetunejob, observed, job, self._own_jobs.adopt(patch, job, finetunejob), entry)

    async def _change(
        self, finetunejob: FineTuneJob, observed: Observation, job: JobState, patch: JsonObject | None, entry: Entry
    ) -> Observation:
        if patch is None:
            entry.refused.clear()
            return observed
        # Only what was seen is built on: a patch of which no answer came may have been the last to say what is requested.
        as_seen = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": job.version}}
        about, what = (job.uid, json.dumps(patch, sort_keys=True)), f"the Job {job.name} cannot be changed"
        merge = partial(self._kube.merge, JOBS, finetunejob.namespace, job.name, as_seen, job.uid)
        changed = await self._refusable.attempt(finetunejob, entry, about, what, merge)
        if isinstance(changed, Cause):
            return with_refusal(observed, changed)
        return replace(observed, job=parse_job(changed))

    async def _renew_authority(self, finetunejob: FineTuneJob, pod_defaults: PodDefaults) -> None:
        """Write the certificates that the report endpoint has now, which pods trust. Where that is refused, what is known of the job is
        written all the same, and a minute later it is tried again."""
        namespace, ca = finetunejob.namespace, pod_defaults.ca
        if self._refused.get(namespace) == ca:
            return
        authority = CONFIG_MAPS, build_authority(namespace, ca)
        try:
            in_the_way = await self._shared.make_missing(namespace, [authority], known_for=math.inf)
            why = in_the_way.message if in_the_way is not None else ""
        except REFUSED as error:
            why = api_message(error)
        if why:
            self._refused[namespace] = ca
            logger.warning("%s: its pods may not reach the report endpoint: %s", finetunejob.key, why)


def _with_queue(observed: Observation, in_queue: InQueue, spec: FineTuneJobSpec) -> Observation:
    """The observation of a Job with what its queue makes of it."""
    if spec.suspend:
        return replace(observed, unheld=in_queue.message)
    waits = observed.job is not None and observed.job.suspended
    return replace(observed, blocked=in_queue) if waits else observed
