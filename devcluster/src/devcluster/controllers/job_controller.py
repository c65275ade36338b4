"""Calls `sync_job` on every change of a Job or of its pods, and carries out its actions."""

import logging
from datetime import UTC, datetime

from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import JOBS, PODS, Client, Object, status_message
from devcluster.controllers.job_pods import (
    CONTROLLER_UID,
    JOB_NAME,
    TRACKING_FINALIZER,
    is_tracked,
    pod_for,
)
from devcluster.controllers.job_sync import JobActions, sync_job
from devcluster.controllers.workqueue import WorkQueue
from devcluster.events import Recorder
from devcluster.informer import Informer, Key, key_of

logger = logging.getLogger(__name__)

_OURS = "kubernetes.io/job-controller"


class JobController:
    """Reads the Job and its pods from the server on each sync, so that a stale cache never creates a pod twice."""

    def __init__(self, client: Client, jobs: Informer, pods: Informer, base_delay: float) -> None:
        self._client = client
        self._recorder = Recorder(client, "job-controller")
        self._base_delay = base_delay
        self._queue: WorkQueue[Key] = WorkQueue(self._sync)
        jobs.on_change(self._job_changed)
        pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._queue.run()

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if job := new or old:
            self._queue.add(key_of(job))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if (pod := new or old) and (owner := _owner(pod)):
            self._queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def _sync(self, key: Key) -> float | None:
        namespace, name = key
        job = await self._read(namespace, name)
        uid = job["metadata"]["uid"] if job else None
        await self._release_orphans(namespace, name, uid)
        if job is None or job["spec"].get("managedBy", _OURS) != _OURS:
            return None
        answer = await self._client.get(PODS.path(namespace), labelSelector=f"{CONTROLLER_UID}={uid}")
        pods = [pod for pod in answer["items"] if (_owner(pod) or {}).get("uid") == uid]
        actions = sync_job(job, pods, datetime.now(UTC), self._base_delay)
        await self._perform(job, actions)
        return actions.requeue_after

    async def _read(self, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(JOBS.path(namespace, name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    async def _release_orphans(self, namespace: str, name: str, uid: str | None) -> None:
        """Remove the finalizers of pods of an earlier Job of this name."""
        answer = await self._client.get(PODS.path(namespace), labelSelector=f"{JOB_NAME}={name}")
        for pod in answer["items"]:
            owner = _owner(pod)
            if is_tracked(pod) and (owner is None or owner["uid"] != uid):
                await self._release(pod)

    async def _perform(self, job: Object, actions: JobActions) -> None:
        for pod in actions.discard:
            await self._release(pod)
        for pod in (*actions.discard, *actions.delete):
            await self._client.delete(PODS.path_of(pod), uid=pod["metadata"]["uid"])
            await self._recorder.record(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        for index in actions.create:
            await self._create(job, index)
        if actions.status != (job.get("status") or {}):
            # With the resourceVersion that was read: a Job that has changed since is synced again.
            await self._client.replace(JOBS.path_of(job, "status"), {**job, "status": actions.status})
        for pod in actions.release:
            await self._release(pod)
        for event in actions.events:
            if event.kind == "Warning":
                await self._recorder.warn(job, event.reason, event.message)
            else:
                await self._recorder.record(job, event.reason, event.message)
        if actions.remove:
            await self._client.delete(JOBS.path_of(job), uid=job["metadata"]["uid"], propagationPolicy="Foreground")

    async def _create(self, job: Object, index: int | None) -> None:
        try:
            pod = await self._client.create(PODS.path(job["metadata"]["namespace"]), pod_for(job, index))
        except ApiException as error:
            await self._recorder.warn(job, "FailedCreate", f"Error creating: {status_message(error)}")
            raise
        await self._recorder.record(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _release(self, pod: Object) -> None:
        """Remove the Job's finalizer from a pod, and change nothing else."""
        metadata = pod["metadata"]
        if not is_tracked(pod):
            return
        rest = [finalizer for finalizer in metadata["finalizers"] if finalizer != TRACKING_FINALIZER]
        patch = {"metadata": {"uid": metadata["uid"], "finalizers": rest or None}}
        try:
            await self._client.patch(PODS.path_of(pod), patch)
        except ApiException as error:
            if error.status not in (404, 409):
                raise


def _owner(pod: Object) -> Object | None:
    """Return the key of the Job that controls a pod."""
    for reference in pod["metadata"].get("ownerReferences") or []:
        if reference.get("controller") and reference["kind"] == "Job":
            found: Object = reference
            return found
    return None
