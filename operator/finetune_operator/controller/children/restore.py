"""Makes again what the pods of a Job need and somebody has deleted."""

import logging
from contextlib import suppress
from secrets import token_urlsafe

from kubernetes.aio.client.exceptions import ConflictException, ForbiddenException

from finetune_api.base import JsonObject
from finetune_operator.controller.children.create import find_or_create, place_of
from finetune_operator.controller.children.shared import BEGIN_SECONDS, RESTORE_SECONDS, SharedObjects, of_namespace
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import JobState
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, NETWORK_POLICIES, PVCS, SECRETS, SERVICES, Kube
from finetune_operator.manifests import Manifests
from finetune_operator.manifests.metadata import child_metadata
from finetune_operator.manifests.run_file import mounted_config_map
from finetune_operator.manifests.run_secret import build_run_secret
from finetune_operator.manifests.secrets import mounted_run_secret

logger = logging.getLogger(__name__)


class Restorer:
    """Looks up each of them, and creates those that are gone."""

    def __init__(self, kube: Kube, shared: SharedObjects) -> None:
        self._kube = kube
        self._shared = shared

    async def restore(
        self, finetunejob: FineTuneJob, job: JobState, children: Manifests, entry: Entry, *, is_stuck: bool
    ) -> bool:
        """Make NetworkPolicies, Service and the Secret of the run again where they were deleted.

        The claim too, once, where it was made long before the Job. `is_stuck` is whether a pod has a node and does not start. Return False
        where the Job cannot go on with them, and is deleted: another is made when it has gone, after its pods.
        """
        known_for = RESTORE_SECONDS if is_stuck else BEGIN_SECONDS
        await self._shared.make_missing(finetunejob.namespace, of_namespace(children), known_for=known_for)
        live = await self._kube.get(JOBS, finetunejob.namespace, job.name)
        if live is not None and await self._has_lost_config_map(finetunejob, live):
            logger.info("%s: its ConfigMap is gone, which older operators made: the Job is made anew", finetunejob.key)
            await self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid, after_children=True)
            return False
        for kind, manifest in ((NETWORK_POLICIES, children.network_policy), (SERVICES, children.service)):
            if manifest is not None:
                await find_or_create(self._kube, kind, manifest)
        await self._restore_run_secret(finetunejob, live)
        if children.pvc is not None and place_of(PVCS, children.pvc) in (entry.made or ()):
            await find_or_create(self._kube, PVCS, children.pvc)
        entry.made = None
        return True

    async def _restore_run_secret(self, finetunejob: FineTuneJob, live: JsonObject | None) -> None:
        """Make the Secret of a run of many pods again, under the name that they mount, with another text: the next attempt has it on all of them.

        None may be read: to make it is to find out.
        """
        spec, metadata = finetunejob.spec, child_metadata(finetunejob)
        secret = build_run_secret(metadata, finetunejob, spec, token_urlsafe()) if spec else None
        name = mounted_run_secret(live) if live is not None else None
        if secret is None or name is None:
            return
        # It may be there, or a quota be used up, which says so in either case.
        with suppress(ConflictException, ForbiddenException):
            await self._kube.create(SECRETS, {**secret, "metadata": {**metadata, "name": name}})

    async def _has_lost_config_map(self, finetunejob: FineTuneJob, live: JsonObject) -> bool:
        """Whether the pods of a Job that an older operator made mount a ConfigMap that is not there: of its `run.yaml` the digest alone is left."""
        name = mounted_config_map(live)
        return name is not None and await self._kube.get(CONFIG_MAPS, finetunejob.namespace, name) is None
