"""Control planes, and the operators that are measured on them, each a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from fleet_load import Load

from devcluster import cluster as dev_cluster
from devcluster import envtest
from devcluster.cluster import Cluster
from devcluster.ports import free_ports

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent
_START_SECONDS = 300.0
_REST_SECONDS = 4.0
_RESTING_CORES = 0.05
"""What the watches, the Lease and the probes take at rest is less."""


@contextlib.asynccontextmanager
async def running_cluster(folder: Path, controller_qps: int = 20) -> AsyncIterator[Cluster]:
    """A real control plane where KUBEBUILDER_ASSETS names one, or else the dev cluster, in a process of their own.

    It has no node, and our definitions. `controller_qps` are requests a second of the real one's controllers, which make the pods.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    options = dev_cluster.Options(node_name=None, controller_qps=controller_qps)
    made = envtest.start(Path(assets), folder, options) if assets else dev_cluster.start(folder, options)
    entered = await asyncio.to_thread(made.__enter__)
    await asyncio.to_thread(install_definitions, entered)
    try:
        yield entered
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)


@contextlib.asynccontextmanager
async def loaded(
    *, namespaces: int, bucket: bool, controller_qps: int = 20
) -> AsyncIterator[tuple[Cluster, Load, Path]]:
    """A control plane, what loads it, and a folder for whoever is measured on it."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        async with (
            running_cluster(folder / "cluster", controller_qps) as cluster,
            Load(cluster, namespaces=namespaces, bucket=bucket) as load,
        ):
            yield cluster, load, folder


def install_definitions(cluster: Cluster) -> None:
    """Install our CustomResourceDefinitions, and wait until they are served."""
    kubectl = [str(Path(sys.executable).with_name("kubectl")), f"--kubeconfig={cluster.kubeconfig}"]
    for name in ("finetunejobs", "finetuneprofiles"):
        definition = ["apply", "--server-side", "-f", str(ROOT / "crds" / f"{name}.yaml")]
        subprocess.run([*kubectl, *definition], check=True, capture_output=True)
        wait = ["wait", "--for=condition=Established", f"crd/{name}.finetune.dev", "--timeout=60s"]
        while subprocess.run([*kubectl, *wait], check=False, capture_output=True).returncode:
            time.sleep(0.2)


class Process(ABC):
    """One that is started, asked for its requests, and ended."""

    program = ""

    def __init__(self, cluster: Cluster, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._arguments = arguments
        self._counts = folder / "requests.json"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(cluster.kubeconfig)}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> float:
        """Return the seconds until it was ready."""
        begun = time.perf_counter()
        with (self._folder / f"{type(self).__name__}.log").open("ab") as log:
            command = [sys.executable, str(HERE / "counted.py"), str(self._counts), self.program, *self._arguments]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        while not await asyncio.to_thread(self._ready):
            if self._process.poll() is not None or time.perf_counter() - begun > _START_SECONDS:
                sys.exit((self._folder / f"{type(self).__name__}.log").read_text()[-4000:])
            await asyncio.sleep(0.02)
        return time.perf_counter() - begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @abstractmethod
    def _ready(self) -> bool:
        """Whether it serves."""

    @property
    def usage(self) -> psutil.Process:
        return psutil.Process(self._process.pid if self._process else 0)

    @property
    def cpu(self) -> float:
        """Seconds of the processor that it has taken since it was started."""
        return _cpu(self.usage)

    @property
    def memory(self) -> int:
        """Bytes."""
        return int(self.usage.memory_info().rss)

    async def rest(self, longest: float) -> None:
        """Wait until it has nothing to do any more, for so many seconds at the most."""
        end = time.perf_counter() + longest
        while await self.cores(_REST_SECONDS) > _RESTING_CORES and time.perf_counter() < end:
            pass

    async def cores(self, seconds: float) -> float:
        """How many processors it takes in the next seconds."""
        begun, before = time.perf_counter(), self.cpu
        await asyncio.sleep(seconds)
        return (self.cpu - before) / (time.perf_counter() - begun)

    async def requests(self) -> Counter[str]:
        """How many it has sent, by verb and resource."""
        self._counts.unlink(missing_ok=True)
        self.usage.send_signal(signal.SIGUSR1)
        while not self._counts.exists():
            await asyncio.sleep(0.01)
        return Counter(json.loads(self._counts.read_text()))


class BareHandler(Process):
    """Two requests a job."""

    program = str(HERE / "bare_handler.py")

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        self._mark = folder / "ready"
        self._environment["BARE_READY"] = str(self._mark)

    async def start(self) -> float:
        self._mark.unlink(missing_ok=True)
        return await super().start()

    def _ready(self) -> bool:
        return self._mark.exists()


class Operator(Process):
    """The operator with its default settings."""

    program = "finetune_operator"

    def __init__(self, cluster: Cluster, folder: Path, *arguments: str) -> None:
        super().__init__(cluster, folder, *arguments)
        self._port, self.reports_port = free_ports(2)
        settings = {
            "HEALTH_PORT": str(self._port),
            "REPORTS_PORT": str(self.reports_port),
            "METRICS_PORT": "0",
            "LOG_FORMAT": "text",
        }
        settings = {f"FINETUNE_OPERATOR_{name}": value for name, value in settings.items()}
        ours = {name: value for name, value in os.environ.items() if name.startswith("FINETUNE_OPERATOR_")}
        self._environment |= settings | ours

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def server_cpu() -> float:
    """Seconds of the processor that the real control plane has taken."""
    names = ("etcd", "kube-apiserver", "kube-controller-manager")
    return sum(_cpu(each) for each in psutil.Process().children() if each.name()[:15] in {name[:15] for name in names})
