"""Asks Kueue why a Job waits in its queue, and passes `spec.suspend` on to it, where it is installed and rights allow. Where not, nothing is said of the queue."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from cachetools import TTLCache
from kubernetes.aio.client.exceptions import ForbiddenException, NotFoundException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.blocked import Obstacle
from finetune_operator.controller.children.queue_places import QueuePlaces
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.rights import MissingRights
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import JobState
from finetune_operator.job.workload import InQueue, activation, read_workload, why_in_queue
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import API_FAILURES, REFUSED, api_message, brief, shared_cause
from finetune_operator.manifests.job import was_suspended

_VERSIONS: Final = ("v1beta2", "v1beta1")
_JOB_UID: Final = "kueue.x-k8s.io/job-uid"
_SILENT_SECONDS: Final = 600.0
"""For so long nothing is asked of a namespace after the API server has answered that there is no such thing, or that it is forbidden."""
_NAMESPACES: Final = 10_000
_MOST_PAGES: Final = 4
"""Of Workloads with the label of one Job, of which there is one."""
_PASSING: Final = 3
"""So many failures in a row are more than one that passes by itself."""

logger = logging.getLogger(__name__)


class Kueue:
    """Looks for the Workload of one Job, and for its place in the queue by Kueue's visibility API if there is one."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._places = QueuePlaces(kube, clock)
        self._missing_rights = MissingRights(clock)
        self._silent: TTLCache[str, bool] = TTLCache(_NAMESPACES, ttl=_SILENT_SECONDS, timer=clock)

    async def ensure(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, job: JobState, entry: Entry
    ) -> InQueue | None:
        """Make the queue hold back a Job that its user suspends, and release one that is not suspended any more.

        Return why the Job waits, as it was when last asked for; of one that is to be suspended, what is wrong with that. None
        where no queue holds it. Raises API_FAILURES, such as a conflict with who changes the Workload at the same time, where
        they may pass.
        """
        if job.queue is None or not (job.suspended or spec.suspend or was_suspended(job.requested)):
            entry.queue = None
            return None
        entry.queue = entry.queue or Obstacle()
        # Each start of a Job has its own time: one that is started again is looked at at once.
        about = job.uid, job.start_time, spec.suspend
        if not entry.queue.holds(about, self._clock()):
            answer = await self._pass_on(finetunejob.namespace, job, job.queue, entry, suspend=spec.suspend)
            longest = self._missing_rights.longest(finetunejob.key, entry.queue, answer.message if answer else "")
            entry.queue.note(about, answer, self._clock(), longest=longest)
        cause = entry.queue.cause
        return cause if isinstance(cause, InQueue) else None

    async def _pass_on(
        self, namespace: str, job: JobState, queue: str, entry: Entry, *, suspend: bool
    ) -> InQueue | None:
        try:
            version, workload = await self._workload(namespace, job)
            entry.unread_workload = 0
        except API_FAILURES as error:
            entry.unread_workload += 1
            if entry.unread_workload < _PASSING:
                raise
            # Such as for a conversion webhook of Kueue's that does not answer. What is known of the job is written all the same.
            unknown = f"its Workload cannot be read ({brief(error)})"
            text = "the Job %s/%s waits in a queue, and %s"
            logger.warning(text, namespace, job.name, unknown, extra={"cause": shared_cause(error)})
            if suspend:
                return InQueue(Reason.SUSPENDED, unknown)
            return InQueue(Reason.WAITING_FOR_QUOTA, f"waiting for quota in the queue {queue}; {unknown}")
        if workload is None:
            return None
        refused = ""
        patch = activation(workload, suspend=suspend)
        if patch is not None:
            kind, name = _kind("kueue", version, "workloads"), workload["metadata"]["name"]
            try:
                changed = await self._kube.merge(kind, namespace, name, patch)
                workload = read_workload(job, changed) or workload
            except REFUSED as error:
                # The Job is suspended or looked after all the same.
                refused = (
                    f"the operator may not {'de' if suspend else ''}activate its Workload {name} ({api_message(error)})"
                )
        if suspend:
            return InQueue(Reason.SUSPENDED, f"{refused}: grant it patch on workloads, or do it" if refused else "")
        queues = _kind("visibility.kueue", version, "localqueues")
        said = why_in_queue(workload, queue, await self._places.of(queues, namespace, queue))
        return InQueue(said.reason, f"{said.message}; {refused}", position=said.position) if refused else said

    async def _workload(self, namespace: str, job: JobState) -> tuple[str, JsonObject | None]:
        """The Workload of a Job with the version in which it is served; None where Kueue says nothing of it."""
        for version in _VERSIONS if namespace not in self._silent else ():
            kind = _kind("kueue", version, "workloads")
            try:
                return version, await self._find(kind, namespace, job)
            except NotFoundException:
                continue
            except ForbiddenException:
                break
        self._silent.setdefault(namespace, True)
        return "", None

    async def _find(self, kind: Kind, namespace: str, job: JobState) -> JsonObject | None:
        """The Workload of this very Job, among the first thousand with its label, which anybody can put on any number of them."""
        selector = {"labelSelector": f"{_JOB_UID}={job.uid}"}
        left = _MOST_PAGES
        async for page in self._kube.pages(kind, namespace, partial(read_workload, job), selector):
            left -= 1
            if page.items or not left:
                return next(iter(page.items), None)
        return None


def _kind(group: str, version: str, plural: str) -> Kind:
    return Kind(f"/apis/{group}.x-k8s.io/{version}", plural)
