"""What is left when a dev cluster ends, whichever way it ends: no process."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from devcluster.client import PODS, SERVICE_ACCOUNTS, connect
from devcluster.cluster import Options, running
from devcluster.testing.api import PATIENCE

# With a child in a session of its own, as torchrun starts its workers.
SCRIPT = "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"


def pod() -> dict[str, Any]:
    container = {"name": "main", "image": "any", "command": ["python", "-c", SCRIPT]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}


def processes_below(state_dir: Path) -> list[str]:
    """Names of the processes that containers of this cluster have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEVCLUSTER_CONTAINER", "").startswith(str(state_dir)):
                found.append(process.name())
        except psutil.Error:
            continue
    return sorted(found)


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if await reached():
                return
            await asyncio.sleep(0.1)


async def run_a_pod(kubeconfig: Path, state_dir: Path) -> None:
    """Start the pod and wait until it has its child."""
    async with connect(kubeconfig) as client:

        async def has_account() -> bool:
            accounts = await client.get(SERVICE_ACCOUNTS.path("default"))
            return bool(accounts["items"])

        async def has_child() -> bool:
            return "sleep" in processes_below(state_dir)

        await until(has_account)
        await client.create(PODS.path("default"), pod())
        await until(has_child)


async def test_a_cluster_that_stops_ends_its_pods_processes(tmp_path: Path) -> None:
    async with running(tmp_path, Options()) as cluster:
        await run_a_pod(cluster.kubeconfig, tmp_path)

    assert processes_below(tmp_path) == []


async def test_a_cluster_that_was_killed_is_tidied_up_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devcluster", f"--state-dir={tmp_path}"]
    killed = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
    try:
        assert killed.stdout
        await killed.stdout.readline()
        await run_a_pod(tmp_path / "kubeconfig", tmp_path)
    finally:
        killed.kill()
        await killed.wait()
    assert "sleep" in processes_below(tmp_path)

    async def is_tidy() -> bool:
        return not processes_below(tmp_path) and not (tmp_path / "pods").exists()

    async with running(tmp_path, Options()):
        await until(is_tidy)
