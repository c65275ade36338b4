"""The life of one pod on this node, from its volumes to its removal."""

import asyncio
import logging
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import PODS, STRATEGIC_MERGE_PATCH, Object, status_message
from devcluster.events import parse_timestamp, timestamp
from devcluster.node.container import Container
from devcluster.node.mounting import Mounts
from devcluster.node.process import kill_marked
from devcluster.node.runtime import Runtime
from devcluster.node.scheduling import is_terminal
from devcluster.node.sources import UnresolvedReference
from devcluster.node.status import ContainerRecord, PodFailure, pod_status, terminated, waiting

logger = logging.getLogger(__name__)

DEADLINE_EXCEEDED = PodFailure("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
NEVER_STARTED_EXIT_CODE = 137


class PodWorker:
    """Runs one pod. `update` passes its newest state in the API server; None when it is deleted."""

    def __init__(self, runtime: Runtime, pod: Object) -> None:
        self.pod = pod
        self._runtime = runtime
        self._is_gone = False
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._published: Object = pod.get("status") or {}
        self._start_time = self._published.get("startTime") or timestamp(datetime.now(UTC))
        self._failure: PodFailure | None = None
        self._is_over = False
        self._folder = runtime.pod_dir(pod)
        self._mounts = Mounts(runtime.client, pod, self._folder / "volumes")
        self._init_containers = self._containers("initContainers")
        self._main_containers = self._containers("containers")

    def update(self, pod: Object | None) -> None:
        """Take the pod's newest state."""
        if pod is None:
            self._is_gone = True
        else:
            self.pod = self._mounts.pod = pod
        self._changed.set()

    def container(self, name: str) -> Container | None:
        everyone = (*self._init_containers, *self._main_containers)
        return next((container for container in everyone if container.record.name == name), None)

    async def run(self) -> None:
        """Run the pod until it is removed from the API server, then delete its folder."""
        try:
            if not is_terminal(self.pod):
                await self._run_until_stopped()
            while not self._is_gone and not self.pod["metadata"].get("deletionTimestamp"):
                await self._next_change()
            await self._remove()
        finally:
            await kill_marked(f"{self._folder}/")
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _containers(self, key: str) -> list[Container]:
        reason = (
            "PodInitializing" if key == "containers" and self.pod["spec"].get("initContainers") else "ContainerCreating"
        )
        return [
            Container(
                self._runtime,
                lambda: self.pod,
                ContainerRecord(spec, waiting(reason)),
                is_init=key == "initContainers",
                stopping=self._stopping,
                publish=self._publish,
            )
            for spec in self.pod["spec"].get(key) or []
        ]

    async def _run_until_stopped(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._publish()
        work = asyncio.create_task(self._run_containers())
        stop = asyncio.create_task(self._until_stopped())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._stop(work, stop.result())
            work.result()
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
        self._is_over = True
        self._terminate_never_started()
        await self._publish()
        await asyncio.to_thread(shutil.rmtree, self._folder / "volumes", ignore_errors=True)

    async def _run_containers(self) -> None:
        volumes = await self._mount()
        refresh = asyncio.create_task(self._mounts.refresh())
        try:
            for container in self._init_containers:
                await container.run(volumes)
                if container.record.exit_code != 0:
                    return
            async with asyncio.TaskGroup() as group:
                for container in self._main_containers:
                    group.create_task(container.run(volumes))
        finally:
            refresh.cancel()

    async def _mount(self) -> dict[str, Path]:
        """Create the volumes; retry until their sources exist or the pod stops."""
        reported = ""
        while not self._stopping.is_set():
            try:
                return await self._mounts.make()
            except (UnresolvedReference, ClientError, TimeoutError) as error:
                message = str(error)
            except ApiException as error:
                message = status_message(error)
            if message != reported:
                await self._runtime.recorder.warn(self.pod, "FailedMount", f"MountVolume.SetUp failed: {message}")
            reported = message
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._runtime.retry_delay)
        return {}

    async def _until_stopped(self) -> float:
        """Wait until the pod is deleted or its deadline has passed; return the grace period in seconds."""
        while True:
            metadata, spec = self.pod["metadata"], self.pod["spec"]
            if self._is_gone:
                return 0.0
            if metadata.get("deletionTimestamp"):
                return float(metadata.get("deletionGracePeriodSeconds") or 0)
            deadline = spec.get("activeDeadlineSeconds")
            if deadline is None:
                await self._next_change()
                continue
            ends_at = parse_timestamp(self._start_time) + timedelta(seconds=deadline)
            left = (ends_at - datetime.now(UTC)).total_seconds()
            if left <= 0:
                self._failure = DEADLINE_EXCEEDED
                return float(spec.get("terminationGracePeriodSeconds", 30))
            await self._next_change(left)

    async def _next_change(self, seconds: float | None = None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _stop(self, work: "asyncio.Task[None]", grace: float) -> None:
        """Send SIGTERM to every container, and SIGKILL to those that run when the grace period is over."""
        self._stopping.set()
        everyone = (*self._init_containers, *self._main_containers)
        for container in everyone:
            if container.record.is_running:
                await self._runtime.recorder.record(self.pod, "Killing", f"Stopping container {container.record.name}")
            container.terminate()
        ends_at = asyncio.get_running_loop().time() + grace
        while not work.done() and not self._is_gone:
            left = ends_at - asyncio.get_running_loop().time()
            if left <= 0:
                break
            change = asyncio.create_task(self._next_change(left))
            await asyncio.wait({work, change}, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
            if self.pod["metadata"].get("deletionTimestamp"):
                # A second deletion may shorten the grace period, never lengthen it.
                ends_at = min(ends_at, self._deletion_ends_at())
        for container in everyone:
            container.kill()
        await work

    def _deletion_ends_at(self) -> float:
        """Return when the grace period of the deletion is over, by the event loop's clock."""
        deletion = parse_timestamp(self.pod["metadata"]["deletionTimestamp"])
        return asyncio.get_running_loop().time() + (deletion - datetime.now(UTC)).total_seconds()

    def _terminate_never_started(self) -> None:
        """Set containers that were never started to terminated: none of a stopped pod waits."""
        if not self._stopping.is_set():
            return
        now = datetime.now(UTC)
        for container in (*self._init_containers, *self._main_containers):
            record = container.record
            if "waiting" not in record.state:
                continue
            if "terminated" in record.last_state:
                record.state, record.last_state = record.last_state, {}
            else:
                record.state = terminated(
                    NEVER_STARTED_EXIT_CODE,
                    now,
                    now,
                    container_id=record.container_id,
                    reason="ContainerStatusUnknown",
                    message="The container could not be located when the pod was terminated",
                )

    async def _publish(self) -> None:
        """Write the pod's status if it has changed; retry until it is accepted or the pod is deleted."""
        delay = self._runtime.retry_delay
        async with self._publishing:
            while not self._is_gone:
                status = pod_status(
                    self.pod,
                    [container.record for container in self._init_containers],
                    [container.record for container in self._main_containers],
                    start_time=self._start_time,
                    now=datetime.now(UTC),
                    previous=self._published.get("conditions") or [],
                    is_over=self._is_over,
                    failure=self._failure,
                )
                if status == self._published:
                    return
                # The uid prevents that this status is written to a later pod of the same name.
                patch = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": status}
                try:
                    path = PODS.path_of(self.pod, "status")
                    await self._runtime.client.patch(path, patch, content_type=STRATEGIC_MERGE_PATCH)
                    self._published = status
                    return
                except ApiException as error:
                    if error.status in (404, 409, 422):
                        logger.debug("status of %s refused: %s", self.pod["metadata"]["name"], status_message(error))
                        return
                except (ClientError, TimeoutError) as error:
                    logger.debug("status of %s not written: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(delay)

    async def _remove(self) -> None:
        """Delete the pod from the API server, now that none of its processes runs; retry until it is deleted."""
        while not self._is_gone:
            try:
                metadata = self.pod["metadata"]
                path = PODS.path_of(self.pod)
                await self._runtime.client.delete(path, uid=metadata["uid"], gracePeriodSeconds=0)
                # With a finalizer the pod is removed later, and nothing is left to do here.
                await self._next_change(self._runtime.retry_delay)
                if self.pod["metadata"].get("finalizers"):
                    await self._until_gone()
            except (ApiException, ClientError, TimeoutError) as error:
                logger.debug("pod %s not removed yet: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(self._runtime.retry_delay)

    async def _until_gone(self) -> None:
        while not self._is_gone and self.pod["metadata"].get("finalizers"):
            await self._next_change()
