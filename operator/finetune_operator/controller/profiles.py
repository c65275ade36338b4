"""The FineTuneProfiles of the cluster, and which of them a FineTuneJob has."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from cachetools import LRUCache, TTLCache
from kubernetes.aio.client.exceptions import ConflictException, ForbiddenException

from finetune_api import profile
from finetune_api.base import JsonObject
from finetune_api.profile import FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.reasons import Reason
from finetune_api.status import AppliedProfile, FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, FineTuneJobSpec
from finetune_operator.job.budget import OverBudget, over_budget
from finetune_operator.job.finetunejob import FineTuneJob, given_profile, parse_finetunejob
from finetune_operator.job.names import UNREADABLE
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.profile import Refusal, apply_profile, kept_settings
from finetune_operator.job.proof import prove_profile
from finetune_operator.kube import server_time
from finetune_operator.kube.client import JOBS, NAMESPACES, PROFILES, Kube
from finetune_operator.kube.errors import API_FAILURES, api_message, brief, shared_cause
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.one_answer import OneAnswer
from finetune_operator.kube.packed import PACKED, unpack

_LABELS_SECONDS = 1.0
"""For so long a namespace's labels are taken for those that were read: many jobs may come at once."""
_RETRY_SECONDS = 30.0
_READ = 100
"""So many jobs are kept as they were read, since one that changes is looked at several times within seconds."""
_SPECS = 2000
"""And of so many the spec that they run by, which is read once for all the numbers of a job. It takes a third of the memory of the whole."""
_NO_STATUS = FineTuneJobStatus()

logger = logging.getLogger(__name__)


def trim_profile(raw: JsonObject) -> JsonObject:
    """The part of a FineTuneProfile that a cache keeps. It has no namespace."""
    metadata = {name: raw["metadata"].get(name) for name in ("name", "uid", "generation", "resourceVersion")}
    return {
        "metadata": {**metadata, "namespace": ""},
        "spec": raw.get("spec"),
        **({UNREADABLE: raw[UNREADABLE]} if UNREADABLE in raw else {}),
    }


class Profiles:
    """Which profile a job has, read when it begins and never again."""

    def __init__(
        self,
        kube: Kube,
        cache: Informer,
        *,
        built_in: FineTuneProfileSpec,
        keys: Callable[[], Sequence[bytes]],
        installation: str,
        used: Callable[[str], int] = lambda namespace: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`built_in` holds for jobs of the profile `default` where there is no such object.

        `keys` are the operator's own, newest first, by which it proves what it wrote into a status; `installation` tells it
        from others that serve the same namespaces. `used` returns the GPU-seconds that a namespace has used in the present month.
        """
        self._used = used
        self._kube = kube
        self._cache = cache
        self._built_in = built_in
        self._keys = keys
        self.own_jobs = OwnJobs(keys, installation)
        self._labels: TTLCache[str, dict[str, str]] = TTLCache(maxsize=1000, ttl=_LABELS_SECONDS, timer=clock)
        self._reading: OneAnswer[str, dict[str, str]] = OneAnswer()
        self._default_wanted = asyncio.Event()
        self._known: LRUCache[str, tuple[object, FineTuneJob]] = LRUCache(_READ)
        """Those that were read last, by uid, and from what: the version, what is kept of it, and the keys."""
        self._specs: LRUCache[str, FineTuneJob] = LRUCache(_SPECS)
        """More of them, without their status."""

    def read_finetunejob(self, raw: JsonObject) -> FineTuneJob:
        """Read a FineTuneJob, packed or not. A profile in its status that this operator did not write there is none."""
        uid, keys = raw["metadata"]["uid"], self._keys()
        # Of one version what is kept may differ, where somebody else has written its status.
        given = (raw["metadata"]["resourceVersion"], raw.get(PACKED), keys)
        known_given, known = self._known.get(uid, (None, None))
        if known is not None and known_given == given:
            return known
        finetunejob = parse_finetunejob(unpack(raw), keys, known or self._specs.get(uid))
        self._keep(given, finetunejob)
        return finetunejob

    def note_written(self, packed: JsonObject, finetunejob: FineTuneJob) -> None:
        """Take a FineTuneJob whose status was written for what `read_finetunejob` would read of it: the next pass comes in a moment."""
        self._keep((packed["metadata"]["resourceVersion"], packed[PACKED], self._keys()), finetunejob)

    def _keep(self, given: object, finetunejob: FineTuneJob) -> None:
        self._known[finetunejob.uid] = given, finetunejob
        spec = self._specs.get(finetunejob.uid)
        if spec is None or spec.spec is not finetunejob.spec or spec.kept is not finetunejob.kept:
            own = finetunejob.own if finetunejob.kept is None else None
            self._specs[finetunejob.uid] = replace(finetunejob, status=_NO_STATUS, own=own)

    def with_profile(self, found: AppliedProfile, finetunejob: FineTuneJob) -> FineTuneJob:
        """Return a FineTuneJob as it is read once its status names this profile. Its spec is not read again then."""
        given = given_profile(finetunejob, found)
        self._known[given.uid] = None, given
        return given

    async def settle(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, *, running: bool
    ) -> AppliedProfile | Refusal | OverBudget:
        """Return what a job keeps of its profile, or why it does not run under it, or not yet. Raises API_FAILURES."""
        try:
            labels = await self._labels_of(finetunejob.namespace)
            request = Request(spec, finetunejob.name, finetunejob.namespace, labels)
            # The cache is not trusted for absence.
            raw = self._cache.get("", request.profile) or await self._kube.get(
                PROFILES, "", request.profile, on_behalf_of=finetunejob.namespace
            )
        except ForbiddenException as error:
            return Refusal(Reason.CREATE_FORBIDDEN, api_message(error), final=False)
        found = apply_profile(request, raw, self._built_in, running=running)
        if isinstance(found, Refusal):
            return found
        over = None if running else self._over_budget(request, found)
        return over or prove_profile(found, finetunejob.uid, finetunejob.run.number, self._keys()[0])

    async def kept_by(self, finetunejob: FineTuneJob, job: str) -> AppliedProfile | None:
        """Return the profile that the Job of this name was made under, as that has it. Raises API_FAILURES."""
        raw = await self._kube.get(JOBS, finetunejob.namespace, job)
        return None if raw is None else self.own_jobs.kept_by(raw, finetunejob)

    def _over_budget(self, request: Request, applied: AppliedProfile) -> OverBudget | None:
        """Why a job on GPUs waits for the next month, if it does."""
        settings = kept_settings(applied)
        limit = settings.limits.gpu_seconds_per_namespace if settings else None
        if settings is None or limit is None or 0 in (request.spec.resources.gpus, settings.limits.gpus):
            return None
        used = self._used(request.namespace)
        return over_budget(request.namespace, applied.name, limit, used, server_time.now())

    async def _labels_of(self, namespace: str) -> dict[str, str]:
        known = self._labels.get(namespace)
        return await self._reading.to(namespace, partial(self._read_labels, namespace)) if known is None else known

    async def _read_labels(self, namespace: str) -> dict[str, str]:
        raw = await self._kube.get(NAMESPACES, "", namespace, on_behalf_of=namespace) or {"metadata": {}}
        labels = self._labels[namespace] = raw["metadata"].get("labels") or {}
        return labels

    def want_default(self) -> None:
        """Make the profile `default` soon, if it is not there."""
        self._default_wanted.set()

    async def keep_default(self) -> None:
        """Make the profile `default` whenever it is wanted, until cancelled. One that is there is left as it is."""
        manifest = {
            "apiVersion": API_VERSION,
            "kind": profile.KIND,
            "metadata": {"name": profile.DEFAULT_NAME, "namespace": ""},
            "spec": self._built_in.to_wire(),
        }
        while True:
            await self._default_wanted.wait()
            # Before it is looked for: it may be deleted while that is answered.
            self._default_wanted.clear()
            try:
                if await self._kube.get(PROFILES, "", profile.DEFAULT_NAME) is None:
                    await self._kube.create(PROFILES, manifest)
                    logger.info("made the FineTuneProfile %s", profile.DEFAULT_NAME)
            except ConflictException:
                continue
            except API_FAILURES as error:
                self._default_wanted.set()
                text, extra = "the FineTuneProfile %s cannot be made: %s", {"cause": shared_cause(error)}
                logger.warning(text, profile.DEFAULT_NAME, brief(error), extra=extra)
                await asyncio.sleep(_RETRY_SECONDS)
