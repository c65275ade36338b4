"""One container of a pod: start it, wait for its end, restart it by the pod's restartPolicy."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import SERVICES, Object
from devcluster.node.environment import base_environment, command_line, container_environment
from devcluster.node.hosts import host_rewriter, selects_by_name
from devcluster.node.process import ContainerProcess, ProcessSpec, StartError, termination_message
from devcluster.node.rewriting import path_rewriter
from devcluster.node.runtime import Runtime
from devcluster.node.sources import UnresolvedReference, load_sources
from devcluster.node.status import ContainerRecord, running, terminated, waiting
from devcluster.node.volumes import link_mounts, mount_places

logger = logging.getLogger(__name__)

MISSING_IMAGE_SUFFIX = ":does-not-exist"
"""Images are not used here, so all are there, except those whose name ends so: they show what a missing one does."""

START_ERROR_EXIT_CODE = 128
_NEVER = datetime.fromtimestamp(0, UTC)
"""When a container began that never ran, as kubelets write it."""
MAX_RESTART_DELAY = 300.0


def restart_delay(base: float, restarts: int) -> float:
    """Return the seconds before the next start: 0 before the first restart, then doubling from `base` to five minutes."""
    return 0.0 if restarts == 0 else min(base * 2 ** min(restarts - 1, 16), MAX_RESTART_DELAY)


def starts_again(restart_policy: str, exit_code: int, *, is_init: bool) -> bool:
    """Return whether a container that has ended is restarted; an init container that succeeded never is."""
    if restart_policy == "Always":
        return exit_code != 0 or not is_init
    return restart_policy == "OnFailure" and exit_code != 0


class Container:
    """Runs one container until it has ended for good or the pod stops."""

    def __init__(
        self,
        runtime: Runtime,
        pod: Callable[[], Object],
        record: ContainerRecord,
        *,
        is_init: bool,
        stopping: asyncio.Event,
        publish: Callable[[], Awaitable[None]],
    ) -> None:
        self.record = record
        self._runtime = runtime
        self._pod = pod
        self._is_init = is_init
        self._stopping = stopping
        self._publish = publish
        self._process: ContainerProcess | None = None
        self._folder = runtime.pod_dir(pod()) / "containers" / record.name

    def terminate(self) -> None:
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    async def run(self, volumes: Mapping[str, Path]) -> None:
        """Start and restart the container until it has ended for good or `stopping` is set."""
        attempt = 0
        while not self._stopping.is_set():
            spec = await self._prepare(volumes, attempt)
            if spec is None:
                continue
            code = await self._run_once(spec, attempt)
            if self._stopping.is_set() or not starts_again(self._restart_policy(), code, is_init=self._is_init):
                return
            delay = restart_delay(self._runtime.restart_delay, self.record.restarts)
            self.record.last_state = self.record.state
            if delay:
                await self._back_off(delay)
            self.record.restarts += 1
            attempt += 1

    def log_file(self, *, previous: bool = False) -> Path | None:
        """Return the log file of the newest attempt, or of the one before it; None if there is no such attempt."""
        logs = sorted(self._folder.glob("*.log"), key=lambda path: int(path.stem))
        position = -2 if previous else -1
        return logs[position] if len(logs) >= -position else None

    def _restart_policy(self) -> str:
        return str(self._pod()["spec"].get("restartPolicy", "Always"))

    async def _back_off(self, delay: float) -> None:
        name = self._pod()["metadata"]["name"]
        message = f"back-off {delay:g}s restarting failed container={self.record.name} pod={name}"
        self.record.state = waiting("CrashLoopBackOff", message)
        await self._warn("BackOff", f"Back-off restarting failed container {self.record.name} in pod {name}")
        await self._publish()
        await self._pause(delay)

    async def _prepare(self, volumes: Mapping[str, Path], attempt: int) -> ProcessSpec | None:
        """Prepare a start; return None after a pause if something is missing that may be created later."""
        image = str(self.record.spec.get("image", ""))
        if image.endswith(MISSING_IMAGE_SUFFIX):
            await self._fail_to_pull(image)
            return None
        try:
            return await self._process_spec(volumes, attempt)
        except UnresolvedReference as error:
            reason = "CreateContainerConfigError" if self.record.spec.get("command") else "CreateContainerError"
            await self._wait(reason, str(error))
            await self._warn("Failed", f"Error: {error}")
        except (ApiException, ClientError, TimeoutError) as error:
            logger.warning("container %s cannot be prepared: %s", self.record.name, error)
        await self._pause(self._runtime.retry_delay)
        return None

    async def _fail_to_pull(self, image: str) -> None:
        message = f'failed to pull image "{image}": {image}: not found'
        await self._record("Pulling", f'Pulling image "{image}"')
        await self._wait("ErrImagePull", message)
        await self._warn("Failed", f"Failed to pull image: {message}")
        await self._warn("Failed", "Error: ErrImagePull")
        await self._pause(self._runtime.retry_delay)
        await self._record("BackOff", f'Back-off pulling image "{image}"')
        await self._wait("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {message}')
        await self._pause(self._runtime.restart_delay)

    async def _process_spec(self, volumes: Mapping[str, Path], attempt: int) -> ProcessSpec:
        pod, spec = self._pod(), self.record.spec
        home = self._folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        message_path = spec.get("terminationMessagePath") or "/dev/termination-log"
        message_file = self._message_file(attempt)
        message_file.touch()
        places = mount_places(spec, volumes)
        rewrite_paths = path_rewriter(
            {message_path: str(message_file), **places}, link_mounts(places, self._folder / "mounts")
        )
        rewrite_hosts = await self._host_rewriter(pod)

        def rewrite(text: str) -> str:
            return rewrite_hosts(rewrite_paths(text))

        environment = container_environment(
            pod,
            spec,
            await load_sources(self._runtime.client, pod),
            base_environment(
                pod, home, *self._runtime.api_address(), self._runtime.python_paths.get(spec.get("image", ""))
            ),
            rewrite,
        )
        return ProcessSpec(
            command=command_line(spec, environment, rewrite),
            environment=environment,
            folder=self._working_folder(rewrite(spec.get("workingDir") or ""), home),
            log=self._folder / f"{attempt}.log",
            marker=f"{self._folder}/{attempt}",
        )

    async def _host_rewriter(self, pod: Object) -> Callable[[str], str]:
        subdomain = pod["spec"].get("subdomain")
        services = await self._runtime.client.get(SERVICES.path(pod["metadata"]["namespace"])) if subdomain else {}
        if any(selects_by_name(service, pod) for service in services.get("items", [])):
            return host_rewriter(pod)
        return lambda text: text

    def _working_folder(self, wanted: str, home: Path) -> Path:
        """Return `workingDir` if it is in a volume or exists on this machine; else a folder of the container's own."""
        if wanted.startswith(str(self._runtime.state_dir)):
            Path(wanted).mkdir(parents=True, exist_ok=True)
        return Path(wanted) if wanted and Path(wanted).is_dir() else home

    def _message_file(self, attempt: int) -> Path:
        return self._folder / f"{attempt}.termination-log"

    async def _run_once(self, spec: ProcessSpec, attempt: int) -> int:
        """Run the process to its end and record its state; return the exit code."""
        self.record.container_id = f"devcluster://{self._pod()['metadata']['uid']}-{self.record.name}-{attempt}"
        started = datetime.now(UTC)
        try:
            self._process = await ContainerProcess.start(spec)
        except StartError as error:
            await self._end(START_ERROR_EXIT_CODE, _NEVER, message=str(error), reason="StartError")
            await self._warn("Failed", f"Error: failed to start container {self.record.name}: {error}")
            return START_ERROR_EXIT_CODE
        self.record.state = running(started)
        if self._stopping.is_set():
            # The pod was stopped while the process was being started, so it has not been signalled.
            self._process.terminate()
        try:
            await self._record("Started", f"Started container {self.record.name}")
            await self._publish()
            code = await self._process.wait()
        except asyncio.CancelledError:
            self._process.kill()
            await self._process.wait()
            raise
        finally:
            self._process = None
        policy = self.record.spec.get("terminationMessagePolicy", "File")
        message = termination_message(self._message_file(attempt), spec.log, policy, code)
        await self._end(code, started, message=message)
        return code

    async def _end(self, code: int, started: datetime, *, message: str, reason: str | None = None) -> None:
        container_id = self.record.container_id
        self.record.state = terminated(
            code, started, datetime.now(UTC), container_id=container_id, message=message, reason=reason
        )
        await self._publish()

    async def _wait(self, reason: str, message: str) -> None:
        self.record.state = waiting(reason, message)
        await self._publish()

    async def _record(self, reason: str, message: str) -> None:
        await self._runtime.recorder.record(self._pod(), reason, message)

    async def _warn(self, reason: str, message: str) -> None:
        await self._runtime.recorder.warn(self._pod(), reason, message)

    async def _pause(self, seconds: float) -> None:
        """Sleep, at most until the pod stops."""
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
        except TimeoutError:
            return
