"""The watches of all that a FineTuneJob depends on, and which FineTuneJobs a change there wakes."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from cachetools import LRUCache

from finetune_api.base import JsonObject
from finetune_api.profile import DEFAULT_NAME
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.own_children import OwnChildren
from finetune_operator.controller.profiles import trim_profile
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.ownership import controller
from finetune_operator.job.parse_children import has_ended, parse_job, trim_job, trim_pod, worth_of_job, worth_of_pod
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS, PROFILES, Kind, Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.object_limit import Worth
from finetune_operator.kube.quotas import RESOURCE_QUOTAS, QuotaRoom, trim_quota
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.kube.workqueue import WorkQueue

_RECOVERY_SECONDS = 5.0
_SEEN = 20_000


class Watches:
    """Caches of Jobs, pods, quotas and FineTuneProfiles. A change there may let a job begin, go on or end."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespaces: Sequence[str],
        serves: Callable[[str], bool],
        resync_seconds: float,
        finetunejobs: FineTuneJobs,
        blocked: BlockedJobs,
        queue: WorkQueue[Key],
        on_default: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`serves` is whether a namespace is looked at; `on_default` is called when the FineTuneProfile `default` changes or goes."""
        self._kube = kube
        self._namespaces = namespaces
        self._serves = serves
        self._resync_seconds = resync_seconds
        self._finetunejobs = finetunejobs
        self._blocked = blocked
        self._queue = queue
        self._on_default = on_default
        self._quota_room = QuotaRoom()
        self._recoveries = RateLimit(per_second=1 / _RECOVERY_SECONDS, burst=1, clock=clock)
        self._recovery: asyncio.TimerHandle | None = None
        self._seen_jobs: LRUCache[tuple[str, str], str] = LRUCache(_SEEN)
        """The uid of each Job when it was last seen, by namespace and name."""
        ours = OwnChildren(finetunejobs)
        self.jobs = self._namespaced(JOBS, self._on_job, trim_job, ours.is_job, worth_of_job)
        may_be_pod = lambda raw: ours.may_be_pod(raw, self._job_of(raw))  # noqa: E731
        self.pods = self._namespaced(PODS, self._on_pod, trim_pod, may_be_pod, worth_of_pod)
        self.quotas = self._namespaced(RESOURCE_QUOTAS, self._on_quota, trim_quota, self._is_served, label=None)
        self.profiles = Informer(
            kube,
            PROFILES,
            label=None,
            on_change=self._on_profile,
            resync_seconds=resync_seconds,
            transform=trim_profile,
            on_recovery=self._on_recovery,
        )

    def _namespaced(
        self,
        kind: Kind,
        on_change: Callable[[JsonObject], None],
        transform: Callable[[JsonObject], JsonObject],
        keep: Callable[[JsonObject], bool | None],
        worth: Worth[JsonObject] = lambda _: (True,),
        label: str | None = LABEL_JOB_UID,
    ) -> Informer:
        return Informer(
            self._kube,
            kind,
            namespaces=self._namespaces,
            label=label,
            on_change=on_change,
            resync_seconds=self._resync_seconds,
            transform=transform,
            keep=keep,
            keep_deleted=has_ended,
            worth=worth,
            on_recovery=self._on_recovery,
        )

    async def run(self) -> None:
        """Keep the caches, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for keep in (self.jobs.run, self._run_pods, self.quotas.run, self.profiles.run):
                group.create_task(keep())

    async def synced(self) -> None:
        """Wait for the first lists. Without them each object would be asked for one by one."""
        for informer in (self.jobs, self.pods, self.profiles):
            await informer.synced.wait()

    def silences(self) -> Mapping[str, float]:
        """Seconds since the API server last sent anything, of each kind without which nothing goes on."""
        informers = {informer.kind.plural: informer.silence() for informer in (self.jobs, self.pods, self.profiles)}
        return {**informers, FINETUNEJOBS.plural: self._finetunejobs.silence()}

    def has_job(self, key: Key) -> bool:
        """Whether there is something that may run and end for a FineTuneJob."""
        entry = self._finetunejobs.get(key)
        return entry is not None and self.jobs.has_labelled(entry.uid)

    def reconsider(self, uid: str) -> None:
        """Look again at what has this uid as its label: a FineTuneJob may be seen after its Job and its pods."""
        for informer in (self.jobs, self.pods):
            informer.reconsider(uid)

    async def _run_pods(self) -> None:
        """Watch pods once the Jobs are known, by which ours are told from those of others."""
        await self.jobs.synced.wait()
        await self.pods.run()

    def _on_job(self, raw: JsonObject) -> None:
        place = raw["metadata"]["namespace"], raw["metadata"]["name"]
        there = self.jobs.uid_of(*place)
        self._note_job(place, raw, there or "")
        owner = controller(raw)
        key = self._own_key(raw, owner.uid if owner is not None else "")
        if there is None or parse_job(raw).end:
            # There may be room for another.
            self._blocked.wake(raw["metadata"]["namespace"])
            if key is not None:
                self._finetunejobs.retry(key)
        if key is not None and not (there is not None and self._is_known(key, raw)):
            self._queue.add_soon(key)

    def _is_known(self, key: Key, raw: JsonObject) -> bool:
        """Whether a Job is as the pass that made it saw it."""
        entry = self._finetunejobs.get(key)
        return entry is not None and entry.made_job == raw["metadata"]["resourceVersion"]

    def _note_job(self, place: tuple[str, str], raw: JsonObject, uid: str) -> None:
        """Look again at the pods that could not be told to be ours or not, where a Job has come, has gone or is another one now.

        Not at each change of one: somebody can make any number of such pods, and change a Job as often as they like.
        """
        if self._seen_jobs.get(place, "") == uid != "":
            return
        self._seen_jobs[place] = uid
        self.pods.reconsider((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""))

    def _on_pod(self, raw: JsonObject) -> None:
        key = self._own_key(raw, (raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""))
        if key is not None:
            self._queue.add_soon(key)

    def _on_quota(self, raw: JsonObject) -> None:
        namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
        if self._quota_room.has_grown(raw, gone=self.quotas.get(namespace, name) is None):
            self._blocked.wake(namespace)

    def _on_profile(self, raw: JsonObject) -> None:
        self._finetunejobs.retry_unsettled()
        if raw["metadata"]["name"] == DEFAULT_NAME:
            self._on_default()

    def _on_recovery(self) -> None:
        """The API server answers again: nothing waits any longer for it to do so, at once or, where that has just been so, in a moment.

        One that answers now and then is not to be asked the more for it; but what failed since then is not to wait for half a minute.
        """
        if self._recovery is not None:
            return
        if wait := self._recoveries.wait(""):
            self._recovery = asyncio.get_running_loop().call_later(wait, self._recover_again)
        else:
            self._recover()

    def _recover_again(self) -> None:
        self._recovery = None
        self._on_recovery()

    def _recover(self) -> None:
        for informer in (self.jobs, self.pods, self.quotas, self.profiles):
            informer.retry()
        self._queue.retry_failed()

    def _is_served(self, raw: JsonObject) -> bool:
        return self._serves(raw["metadata"]["namespace"])

    def _own_key(self, raw: JsonObject, uid: str) -> Key | None:
        """The FineTuneJob of this uid, if it is in the object's namespace: labels and owners can be forged."""
        key = self._finetunejobs.key_of_uid(uid)
        return key if key is not None and key.namespace == raw["metadata"]["namespace"] else None

    def _job_of(self, pod: JsonObject) -> str | None:
        """The uid of the Job of the name that a pod has as its owner, as it was last seen."""
        owner = controller(pod)
        return None if owner is None else self.jobs.uid_of(pod["metadata"]["namespace"], owner.name)
