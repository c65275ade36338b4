"""Reads Kueue's Workloads, where it is installed and the operator may read them. Where not, nothing is said of the queue."""

import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache
from kubernetes.aio.client.exceptions import ForbiddenException, NotFoundException

from finetune_api.base import JsonObject
from finetune_operator.job.observation import JobState
from finetune_operator.job.workload import InQueue, why_in_queue, workload_of
from finetune_operator.kube.client import Kind, Kube

_VERSIONS: Final = ("v1beta2", "v1beta1")
_JOB_UID: Final = "kueue.x-k8s.io/job-uid"
_SILENT_SECONDS: Final = 600.0
"""For so long nothing is asked of a namespace after the API server has answered that there is no such thing, or that it is forbidden."""
_NAMESPACES: Final = 10_000


class Kueue:
    """Asks for the Workload of one Job, and for its place in the queue by Kueue's visibility API if there is one."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._silent: TTLCache[str, bool] = TTLCache(_NAMESPACES, ttl=_SILENT_SECONDS, timer=clock)

    async def why_in_queue(self, namespace: str, job: JobState) -> InQueue | None:
        """Why a Job with a queue waits; None where Kueue says nothing of it. Raises API_FAILURES."""
        if job.queue is None or namespace in self._silent:
            return None
        for version in _VERSIONS:
            try:
                workloads, _ = await self._kube.list(
                    _kind("kueue", version, "workloads"), namespace, labelSelector=f"{_JOB_UID}={job.uid}"
                )
            except NotFoundException:
                continue
            except ForbiddenException:
                break
            found = workload_of(job, workloads)
            return (
                None
                if found is None
                else why_in_queue(found, job.queue, await self._pending(namespace, job.queue, version))
            )
        self._silent[namespace] = True
        return None

    async def _pending(self, namespace: str, queue: str, version: str) -> list[JsonObject]:
        """Those that wait in a LocalQueue; none where the visibility API is not served, or not for us."""
        queues = _kind("visibility.kueue", version, "localqueues")
        try:
            found = await self._kube.get(queues, namespace, queue, subresource="pendingworkloads")
        except ForbiddenException:
            return []
        return (found or {}).get("items") or []


def _kind(group: str, version: str, plural: str) -> Kind:
    return Kind(f"/apis/{group}.x-k8s.io/{version}", plural)
