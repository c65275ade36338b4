"""`make bench-operator`: how fast FineTuneJobs get their Jobs, and what each costs in requests, CPU and memory.

Everything is measured twice, on a fresh control plane each: with a bare Kopf handler that does two requests a job, and with the operator and its
default settings. The machine may have other work to do, so what counts are the ratios, the requests and the CPU seconds. No pod
runs anything: there is no node, and what a kubelet would write of a pod is written here.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from fleet_load import Load

from devcluster import cluster as dev_cluster
from devcluster import envtest
from devcluster.cluster import Cluster

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent
NO_NODE = dev_cluster.Options(node_name=None)
_SETTLE_SECONDS = 10.0
"""For so long after a burst, what follows from it is counted as its own."""
_START_SECONDS = 300.0
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_READS = ("GET", "LIST")


@dataclass
class Figures:
    """What was measured of one operator."""

    burst_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Seconds from apply to Job, at a rate."""
    until_jobs: Counter[str] = field(default_factory=Counter)
    """Requests of the burst until the last Job was there."""
    settled: Counter[str] = field(default_factory=Counter)
    """And of what follows."""
    lives: Counter[str] = field(default_factory=Counter)
    """Requests of whole lives without progress."""
    cpu: float = 0.0
    """Seconds of the operator in the burst and what follows."""
    server_cpu: float = 0.0
    """Those of the control plane."""
    memory: float = 0.0
    """Bytes by which the operator has grown."""
    restart_seconds: float = 0.0
    restart_cpu: float = 0.0
    restarted: Counter[str] = field(default_factory=Counter)
    """Requests of a restart and the ten seconds after it."""


def main() -> int:
    """Print the figures. Returns 0."""
    arguments = _arguments()
    kind = "a real control plane" if os.environ.get("KUBEBUILDER_ASSETS") else "the dev cluster"
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{arguments.jobs:,} jobs on {kind}, {os.cpu_count()} cores, load average {load} before")
    bare, ours = (asyncio.run(measure(which, arguments)) for which in (BareHandler, Operator))
    print_figures(bare, ours, arguments)
    print(f"load average after: {', '.join(f'{each:.1f}' for each in os.getloadavg())}")
    if arguments.json:
        figures = {name: vars(each) for name, each in (("bare", bare), ("ours", ours))}
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of the burst")
    parser.add_argument("--namespaces", type=int, default=1, help="over which they are spread")
    parser.add_argument("--rate", type=float, default=40, help="applies a second, after the burst")
    parser.add_argument("--paced", type=int, default=200, help="jobs that come at that rate")
    parser.add_argument("--lives", type=int, default=20, help="jobs of which the whole life is counted")
    parser.add_argument("--bucket", action="store_true", help="jobs that write to a bucket, so that none needs a claim")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    return parser.parse_args()


# The two that are measured.


class Process(ABC):
    """One that is started, asked for its requests, and ended."""

    program = ""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._folder = folder
        self._counts = folder / "requests.json"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(cluster.kubeconfig)}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> float:
        """Return the seconds until it was ready."""
        begun = time.perf_counter()
        with (self._folder / f"{type(self).__name__}.log").open("ab") as log:
            command = [sys.executable, str(HERE / "counted.py"), str(self._counts), self.program]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        while not await asyncio.to_thread(self._ready):
            if self._process.poll() is not None or time.perf_counter() - begun > _START_SECONDS:
                sys.exit((self._folder / f"{type(self).__name__}.log").read_text()[-4000:])
            await asyncio.sleep(0.02)
        return time.perf_counter() - begun

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

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        self._port = _free_port()
        settings = {"HEALTH_PORT": str(self._port), "REPORTS_PORT": "0", "METRICS_PORT": "0", "LOG_FORMAT": "text"}
        settings = {f"FINETUNE_OPERATOR_{name}": value for name, value in settings.items()}
        ours = {name: value for name, value in os.environ.items() if name.startswith("FINETUNE_OPERATOR_")}
        self._environment |= settings | ours

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


# What is measured.


@contextlib.asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A real control plane where KUBEBUILDER_ASSETS names one, or else the dev cluster, in a process of their own."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    made = envtest.start(Path(assets), folder, NO_NODE) if assets else dev_cluster.start(folder, NO_NODE)
    entered = await asyncio.to_thread(made.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)


async def measure(which: Callable[[Cluster, Path], Process], arguments: argparse.Namespace) -> Figures:
    """All figures of one operator, on a control plane of its own."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        async with running_cluster(folder / "cluster") as cluster:
            _install(cluster)
            async with Load(cluster, namespaces=arguments.namespaces, bucket=arguments.bucket) as load:
                process = which(cluster, folder)
                try:
                    await process.start()
                    await _burst(process, load, arguments.jobs, figures)
                    figures.waits = await load.paced(arguments.paced, arguments.rate)
                    await asyncio.sleep(_SETTLE_SECONDS)
                    await _restart(process, figures)
                    if which is Operator:
                        await _lives(process, load, arguments.lives, figures)
                finally:
                    process.end()
    return figures


def _install(cluster: Cluster) -> None:
    kubectl = [str(Path(sys.executable).with_name("kubectl")), f"--kubeconfig={cluster.kubeconfig}"]
    for name in ("finetunejobs", "finetuneprofiles"):
        definition = ["apply", "--server-side", "-f", str(ROOT / "crds" / f"{name}.yaml")]
        subprocess.run([*kubectl, *definition], check=True, capture_output=True)
        wait = ["wait", "--for=condition=Established", f"crd/{name}.finetune.dev", "--timeout=60s"]
        while subprocess.run([*kubectl, *wait], check=False, capture_output=True).returncode:
            time.sleep(0.2)


async def _burst(process: Process, load: Load, jobs: int, figures: Figures) -> None:
    # The first ones bring caches and connections about, on both sides.
    await load.burst(10)
    await asyncio.sleep(3)
    requests, cpu, server = await process.requests(), _cpu(process.usage), _server_cpu()
    memory = process.usage.memory_info().rss
    figures.burst_seconds = await load.burst(jobs)
    figures.until_jobs = await process.requests() - requests
    await asyncio.sleep(_SETTLE_SECONDS)
    figures.settled = await process.requests() - requests
    figures.cpu, figures.server_cpu = _cpu(process.usage) - cpu, _server_cpu() - server
    figures.memory = process.usage.memory_info().rss - memory


async def _restart(process: Process, figures: Figures) -> None:
    process.end()
    figures.restart_seconds = await process.start()
    figures.restart_cpu = _cpu(process.usage)
    await asyncio.sleep(_SETTLE_SECONDS)
    figures.restarted = await process.requests()


async def _lives(process: Process, load: Load, lives: int, figures: Figures) -> None:
    await asyncio.sleep(5)
    requests, idle = await process.requests(), time.perf_counter()
    await asyncio.sleep(15)
    seconds, background = time.perf_counter() - idle, await process.requests() - requests
    requests, begun = await process.requests(), time.perf_counter()
    await load.lives(lives)
    await asyncio.sleep(5)
    share = (time.perf_counter() - begun) / seconds
    # What the others cost at the same time, by what they cost before.
    others = Counter({name: round(count * share) for name, count in background.items()})
    figures.lives = await process.requests() - requests - others


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _server_cpu() -> float:
    names = ("etcd", "kube-apiserver", "kube-controller-manager")
    return sum(_cpu(each) for each in psutil.Process().children() if each.name()[:15] in {name[:15] for name in names})


# What is printed.


def print_figures(bare: Figures, ours: Figures, arguments: argparse.Namespace) -> None:
    """A line for each figure, ours beside the bare handler's."""
    jobs = arguments.jobs
    print(f"\n{'':44} {'bare':>10} {'ours':>10}  ours/bare")
    lines: list[tuple[str, float, float, str]] = [
        ("burst: Jobs a second", *(jobs / each.burst_seconds for each in (bare, ours)), "10.1f"),
        (
            "requests a job until the last Job is there",
            *(_per(each.until_jobs, jobs) for each in (bare, ours)),
            "10.2f",
        ),
        (
            f"requests a job {_SETTLE_SECONDS:.0f} s later",
            *(_per(each.settled, jobs) for each in (bare, ours)),
            "10.2f",
        ),
        ("CPU of the operator a job, ms", *(1000 * each.cpu / jobs for each in (bare, ours)), "10.2f"),
        ("CPU of the control plane a job, ms", *(1000 * each.server_cpu / jobs for each in (bare, ours)), "10.2f"),
        ("memory of the operator a job, KB", *(each.memory / 1000 / jobs for each in (bare, ours)), "10.1f"),
        (f"apply to Job at {arguments.rate:g}/s: p50, s", *(_quantile(each, 50) for each in (bare, ours)), "10.3f"),
        (f"apply to Job at {arguments.rate:g}/s: p99, s", *(_quantile(each, 99) for each in (bare, ours)), "10.3f"),
        ("restart until ready, s", *(each.restart_seconds for each in (bare, ours)), "10.2f"),
        ("CPU of that, s", *(each.restart_cpu for each in (bare, ours)), "10.2f"),
    ]
    for name, theirs, own, form in lines:
        ratio = f"{own / theirs:10.2f}" if theirs else f"{'-':>10}"
        print(f"{name:44} {theirs:{form}} {own:{form}} {ratio}")
    _print_requests(f"requests a job of the burst, and {_SETTLE_SECONDS:.0f} s after it", ours.settled, jobs)
    _print_requests(f"requests after a restart, within {_SETTLE_SECONDS:.0f} s of ready", ours.restarted, 1)
    _print_requests("requests of a life without progress", ours.lives, arguments.lives)
    writes, reads = (_count(ours.lives, verbs) / arguments.lives for verbs in (_WRITES, _READS))
    print(f"  writes {writes:.2f}, reads {reads:.2f}")


def _per(requests: Counter[str], jobs: int) -> float:
    return _count(requests, (*_WRITES, *_READS)) / jobs


def _count(requests: Counter[str], verbs: tuple[str, ...]) -> int:
    return sum(count for name, count in requests.items() if name.split()[0] in verbs)


def _quantile(figures: Figures, percent: int) -> float:
    return statistics.quantiles(figures.waits, n=100)[percent - 1]


def _print_requests(title: str, requests: Counter[str], by: int) -> None:
    print(f"\n{title}")
    for name, count in requests.most_common():
        print(f"  {name:32} {count / by:8.2f}")


if __name__ == "__main__":
    sys.exit(main())
