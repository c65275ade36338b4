"""The node: registration, scheduler, provisioner, log endpoint, and one worker for each of its pods."""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from devcluster.client import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    Object,
    connect,
)
from devcluster.events import Recorder
from devcluster.informer import Informer, running
from devcluster.node.logs import serve_logs
from devcluster.node.pod import PodWorker
from devcluster.node.process import kill_marked
from devcluster.node.provisioner import Provisioner
from devcluster.node.registration import Registration, capacity
from devcluster.node.runtime import Runtime
from devcluster.node.scheduler import Scheduler

logger = logging.getLogger(__name__)


async def run_node(
    kubeconfig: Path,
    *,
    name: str,
    state_dir: Path,
    gpus: int = 0,
    cpus: int | None = None,
    memory: str | None = None,
    restart_delay: float = 10.0,
    retry_delay: float = 1.0,
    python_paths: Mapping[str, Path] | None = None,
) -> None:
    """Run a node of a cluster until cancelled; all processes that it has started end with it.

    Args:
        kubeconfig: of an administrator or a node.
        name: of the Node.
        state_dir: an absolute folder for logs, volumes and claims; of one node at a time.
        gpus: capacity for `nvidia.com/gpu`. They need not exist.
        cpus: capacity in cores; this machine's if None. Requests are counted, limits not enforced.
        memory: capacity as a quantity; this machine's if None.
        restart_delay: seconds of the first back-off between a container's starts; Kubernetes has 10.
        retry_delay: seconds between attempts to read what a pod waits for, such as a ConfigMap.
        python_paths: by the names of images, folders in which their Python finds modules before all others.
    """
    state_dir = _private_folder(state_dir)
    resources = capacity(gpus, cpus, memory)
    async with connect(kubeconfig) as client:
        runtime = Runtime(
            client=client,
            recorder=Recorder(client, "kubelet", name),
            node_name=name,
            state_dir=state_dir,
            restart_delay=restart_delay,
            retry_delay=retry_delay,
            python_paths=python_paths or {},
        )
        # A node that was killed has left its containers and files.
        await kill_marked(f"{runtime.pods_dir}/")
        await asyncio.to_thread(shutil.rmtree, runtime.pods_dir, ignore_errors=True)
        node = _Node(runtime)
        informers = nodes, pods, claims, volumes = (
            Informer(client, NODES),
            Informer(client, PODS),
            Informer(client, PERSISTENT_VOLUME_CLAIMS),
            Informer(client, PERSISTENT_VOLUMES),
        )
        async with serve_logs(node.find) as log_port:
            registration = Registration(client, name, resources, log_port)
            await registration.register()
            async with running(*informers), asyncio.TaskGroup() as group:
                pods.on_change(node.pod_changed)
                group.create_task(registration.heartbeat())
                group.create_task(Scheduler(client, nodes, pods, claims).run())
                group.create_task(Provisioner(client, claims, volumes, state_dir / "claims").run())
                group.create_task(node.run())


def _private_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.resolve()


class _Node:
    """The workers of the pods that are bound to this node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._workers: dict[str, PodWorker] = {}
        self._new: asyncio.Queue[PodWorker] = asyncio.Queue()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of the newest pod of this name, or None."""
        found = [
            worker
            for worker in self._workers.values()
            if (worker.pod["metadata"]["namespace"], worker.pod["metadata"]["name"]) == (namespace, name)
        ]
        return found[-1] if found else None

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if pod is None or pod["spec"].get("nodeName") != self._runtime.node_name:
            return
        uid = pod["metadata"]["uid"]
        if worker := self._workers.get(uid):
            worker.update(new)
        elif new is not None:
            self._workers[uid] = worker = PodWorker(self._runtime, new)
            self._new.put_nowait(worker)

    async def run(self) -> None:
        """Start a task for each new worker. Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._run_worker(await self._new.get()))

    async def _run_worker(self, worker: PodWorker) -> None:
        uid = worker.pod["metadata"]["uid"]
        try:
            await worker.run()
        except Exception:
            # An error in one pod must not end the node and all other pods.
            logger.exception("pod %s failed", worker.pod["metadata"]["name"])
        finally:
            del self._workers[uid]
