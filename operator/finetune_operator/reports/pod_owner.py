"""Which FineTuneJob a pod may report for: answered from the caches alone, whoever asks and however often."""

import time
from collections.abc import Callable

from cachetools import LRUCache, TTLCache

from finetune_api.base import JsonObject
from finetune_api.well_known import LABEL_INDEX, LABEL_JOB_UID
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import job_names
from finetune_operator.job.ownership import controller, finetunejob_as_owner, job_as_owner, run_of
from finetune_operator.job.parse_children import has_ended
from finetune_operator.kube.informer import Informer
from finetune_operator.reports.token_review import Caller

_LAG_SECONDS = 5.0
"""A pod may report before it, its Job and its FineTuneJob have come by their watches."""
_STRANGERS = 10_000
_REMEMBERED_SECONDS = 3600.0


class NotSeenYet(Exception):
    """The caches hold no such pod, or not all of its owners, and they may be behind: worth another try."""


class PodOwners:
    """Finds the FineTuneJob of a pod by the owner references: pod → Job → FineTuneJob, each by all that names it.

    Nothing is asked of the API server: a pod without our label, or of no FineTuneJob that is there, never comes into the
    caches, so that any number of strangers costs nothing. Of the pods that train together only the first one reports.
    """

    def __init__(
        self,
        jobs: Informer,
        pods: Informer,
        key_of_uid: Callable[[str], Key | None],
        current: Callable[[str], float],
        is_own: Callable[[Key, JsonObject], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key_of_uid` finds a FineTuneJob that is there by its uid; `current` is, for FineTuneJobs, what `Informer.current` is;
        `is_own` is whether the operator made a Job for a FineTuneJob."""
        self._jobs = jobs
        self._pods = pods
        self._key_of_uid = key_of_uid
        self._current = (pods.current, jobs.current, current)
        self._is_own = is_own
        self._clock = clock
        self._first_asked: TTLCache[str, float] = TTLCache(_STRANGERS, ttl=_REMEMBERED_SECONDS, timer=clock)
        self._seen: LRUCache[str, None] = LRUCache(_STRANGERS)
        """Uids of pods that were found."""

    def find(self, caller: Caller) -> Key | None:
        """The FineTuneJob that this very pod (by uid) may report for; None if there is none, or if the pod is over.

        A container may outlive its pod, as on a node that was cut off: another pod may train in its place by now. None ends a
        training, so that it needs the word of the API server: the pod was seen to go, or what does not know it is newer than the question.

        Raises:
            NotSeenYet: It may be that of a pod that the caches do not hold yet.
        """
        pod = self._pods.get(caller.namespace, caller.pod_name)
        if pod is None or pod["metadata"]["uid"] != caller.pod_uid:
            undecided = self._pods.is_undecided(caller.namespace, caller.pod_name, caller.pod_uid)
            if undecided or caller.pod_uid not in self._seen:
                self._wait_for_the_caches(caller)
            return None
        self._seen[caller.pod_uid] = None
        if has_ended(pod):
            return None
        labels = pod["metadata"].get("labels") or {}
        finetunejob_uid = labels.get(LABEL_JOB_UID, "")
        key, owner = self._key_of_uid(finetunejob_uid), controller(pod)
        job = self._jobs.get(caller.namespace, owner.name) if owner is not None else None
        if owner is not None and (key is None or job is None):
            self._wait_for_the_caches(caller)
            return None
        if key is None or job is None or labels.get(LABEL_INDEX, "0") != "0":
            return None
        if key.namespace != caller.namespace or not _is_chain(pod, job, key, finetunejob_uid):
            return None
        # The pods of a Job that somebody made under such a name would push the reports of the job's own out of memory, and a
        # training of which nothing is heard may be ended for it.
        return key if self._is_own(key, job) else None

    def _wait_for_the_caches(self, caller: Caller) -> None:
        """Raise NotSeenYet unless all caches are known to be newer than this pod's first question."""
        asked = self._first_asked.setdefault(caller.pod_uid, self._clock())
        if min(current(caller.namespace) for current in self._current) < asked + _LAG_SECONDS:
            raise NotSeenYet


def _is_chain(pod: JsonObject, job: JsonObject, key: Key, uid: str) -> bool:
    """Whether the pod is this Job's, and the Job one of those that are made for this FineTuneJob."""
    name = job["metadata"]["name"]
    return (
        controller(pod) == job_as_owner(name, job["metadata"]["uid"])
        and controller(job) == finetunejob_as_owner(key.name, uid)
        and name in job_names(key.name, run_of(job))
    )
