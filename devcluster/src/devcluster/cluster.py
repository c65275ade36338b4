"""Starting and stopping a dev cluster: API server, controllers and one node in one event loop."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.apiserver.server import serve
from devcluster.controllers import run_controllers
from devcluster.kubeconfig import write_kubeconfig
from devcluster.node import run_node

logger = logging.getLogger(__name__)

_RECURSION_LIMIT = 200_000
_STACK_BYTES = 512 * 1024**2
"""Of address space; memory is allocated as it is used."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: `kubeconfig` has its server, CA and an administrator's token."""

    kubeconfig: Path
    url: str
    state_dir: Path


@dataclass(frozen=True)
class Options:
    """Options of a cluster and its one node.

    `gpus` need not exist. `cpus` and `memory` (a quantity) are this machine's if None. The delays are the first
    back-offs, in seconds, after a failed pod of a Job and a failed container; Kubernetes has 10 for both. With
    `node_name` None there is no node, and pods stay as they are made. `controller_qps` are the requests a second of a real control
    plane's controllers, which by default are Kubernetes' own 20. Python in the images that `python_paths` names finds modules in those
    folders before all others.
    """

    gpus: int = 0
    cpus: int | None = None
    memory: str | None = None
    node_name: str | None = "devcluster"
    job_backoff: float = 10.0
    restart_delay: float = 10.0
    controller_qps: int = 20
    python_paths: Mapping[str, Path] = field(default_factory=dict)


async def run_own_node(kubeconfig: Path, state_dir: Path, options: Options) -> None:
    """Run the node of a cluster, if it has one, until cancelled."""
    if options.node_name is None:
        return
    await run_node(
        kubeconfig,
        name=options.node_name,
        state_dir=state_dir,
        gpus=options.gpus,
        cpus=options.cpus,
        memory=options.memory,
        restart_delay=options.restart_delay,
        python_paths=options.python_paths,
    )


@contextlib.asynccontextmanager
async def running(
    state_dir: Path, options: Options, *, port: int = 0, kubeconfig: Path | None = None
) -> AsyncIterator[Cluster]:
    """Run a dev cluster while the context lasts; if a part fails, the body is cancelled and the error raised."""
    state_dir = _made(state_dir)
    async with serve(port) as server, asyncio.TaskGroup() as tasks:
        path = kubeconfig or state_dir / "kubeconfig"
        write_kubeconfig(path, url=server.url, ca=server.ca, token=server.token)
        parts = [
            tasks.create_task(run_controllers(path, job_backoff=options.job_backoff)),
            tasks.create_task(run_own_node(path, state_dir, options)),
        ]
        try:
            yield Cluster(path, server.url, state_dir)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)


def _made(folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def start(state_dir: Path, options: Options | None = None) -> Iterator[Cluster]:
    """Run a dev cluster in a thread of this process, for tests.

    It ends with the context, and so do its pods' processes.
    """
    with in_thread(lambda: running(state_dir, options or Options())) as cluster:
        yield cluster


@contextlib.contextmanager
def in_thread(part: Callable[[], contextlib.AbstractAsyncContextManager[Cluster]]) -> Iterator[Cluster]:
    """Run an asynchronous context in a thread with its own event loop. Raises RuntimeError if it fails to start."""
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    found: list[Cluster] = []
    failures: list[BaseException] = []

    async def main() -> None:
        async with part() as cluster:
            found.append(cluster)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(main())
        except BaseException as error:
            logger.exception("the cluster failed")
            failures.append(error)
        finally:
            started.set()

    with thread_with_deep_stack(run) as thread:
        started.wait()
        if not found:
            raise RuntimeError("the cluster did not start") from (failures[0] if failures else None)
        try:
            yield found[0]
        finally:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has failed, and the error is in the log
                loop.call_soon_threadsafe(stop.set)
            thread.join()


@contextlib.contextmanager
def thread_with_deep_stack(target: Callable[[], None]) -> Iterator[threading.Thread]:
    """Start a thread with a stack for objects as deep as Kubernetes accepts them (10,000 levels)."""
    limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    try:
        thread = threading.Thread(target=target, name="devcluster", daemon=True)
        thread.start()
        threading.stack_size(size)
        yield thread
    finally:
        sys.setrecursionlimit(limit)
