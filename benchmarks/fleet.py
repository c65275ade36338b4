"""`make bench-operator`: what FineTuneJobs cost in time, requests, CPU and memory, as they come, run and report.

Four parts, each on a fresh control plane and in about three minutes, `crowd` in up to fifteen; `--only burst` is one of them.

- burst: how fast FineTuneJobs get their Jobs, beside a bare Kopf handler that does two requests a job.
- crowd: memory of thousands of jobs with Jobs and pods, a new job beside them, and a restart.
- reports: pods that report as they are asked to, the age of the numbers in the statuses, and a new job beside them.
- shards: a burst with one operator, and with two that share the namespaces.

The operators have their default settings. The machine may have other work to do, so what counts are the ratios, the requests and the
CPU seconds. No pod runs anything: there is no node, and what a kubelet would write of a pod is written here.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fleet_load import PODS, Load
from fleet_parts import print_crowd, print_reports, print_shards
from fleet_process import BareHandler, Operator, Process, loaded, server_cpu

from devcluster.cluster import Cluster

PARTS = ("burst", "crowd", "reports", "shards")
_SETTLE_SECONDS = 10.0
"""For so long after a burst, what follows from it is counted as its own."""
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
    pods_meanwhile: int = 0
    """Pods that came in that time: the status of each of their jobs has changed."""


def main() -> int:
    """Print the figures. Returns 0."""
    arguments = _arguments()
    kind = "a real control plane" if os.environ.get("KUBEBUILDER_ASSETS") else "the dev cluster"
    print(f"{kind}, {os.cpu_count()} cores, load average {_load()} before")
    for part in arguments.only or PARTS:
        begun = time.perf_counter()
        print(f"\n== {part}", flush=True)
        match part:
            case "burst":
                print_burst(arguments)
            case "crowd":
                asyncio.run(print_crowd(arguments.crowd, arguments.seconds))
            case "reports":
                asyncio.run(print_reports(arguments.running, arguments.report_seconds))
            case "shards":
                asyncio.run(print_shards(arguments.jobs))
        print(f"{time.perf_counter() - begun:.0f} s; load average {_load()}", flush=True)
    return 0


def _load() -> str:
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())


def _arguments() -> argparse.Namespace:
    real = bool(os.environ.get("KUBEBUILDER_ASSETS"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.add_argument("--jobs", type=int, default=1000 if real else 100, help="jobs of a burst")
    parser.add_argument("--namespaces", type=int, default=1, help="over which those of `burst` are spread")
    parser.add_argument("--rate", type=float, default=40 if real else 10, help="applies a second, after the burst")
    parser.add_argument("--paced", type=int, default=200 if real else 50, help="jobs that come at that rate")
    parser.add_argument("--lives", type=int, default=20 if real else 5, help="jobs of which the whole life is counted")
    parser.add_argument("--bucket", action="store_true", help="jobs that write to a bucket, so that none needs a claim")
    parser.add_argument("--crowd", type=int, default=10_000 if real else 200, help="jobs of `crowd`")
    parser.add_argument("--seconds", type=float, default=600, help="for so long their Jobs and pods are waited for")
    parser.add_argument("--running", type=int, default=1000 if real else 40, help="pods of `reports`")
    parser.add_argument("--report-seconds", type=float, default=45, help="for so long they are measured")
    parser.add_argument("--json", type=Path, help="a file for all figures of `burst`")
    return parser.parse_args()


# What is measured.


async def measure(which: Callable[[Cluster, Path], Process], arguments: argparse.Namespace) -> Figures:
    """All figures of one operator, on a control plane of its own."""
    figures = Figures()
    async with loaded(namespaces=arguments.namespaces, bucket=arguments.bucket) as (cluster, load, folder):
        with which(cluster, folder) as process:
            await process.start()
            await _burst(process, load, arguments.jobs, figures)
            figures.waits = await load.paced(arguments.paced, arguments.rate)
            await asyncio.sleep(_SETTLE_SECONDS)
            await _restart(process, load, figures)
            if which is Operator:
                await _lives(process, load, arguments.lives, figures)
    return figures


async def _burst(process: Process, load: Load, jobs: int, figures: Figures) -> None:
    # The first ones bring caches and connections about, on both sides.
    await load.burst(10)
    await asyncio.sleep(3)
    requests, cpu, server = await process.requests(), process.cpu, server_cpu()
    memory = process.memory
    figures.burst_seconds = await load.burst(jobs)
    figures.until_jobs = await process.requests() - requests
    await asyncio.sleep(_SETTLE_SECONDS)
    figures.settled = await process.requests() - requests
    figures.cpu, figures.server_cpu = process.cpu - cpu, server_cpu() - server
    figures.memory = process.memory - memory


async def _restart(process: Process, load: Load, figures: Figures) -> None:
    process.end()
    pods = await load.count(PODS)
    figures.restart_seconds = await process.start()
    figures.restart_cpu = process.cpu
    await asyncio.sleep(_SETTLE_SECONDS)
    figures.restarted = await process.requests()
    figures.pods_meanwhile = await load.count(PODS) - pods


async def _lives(process: Process, load: Load, lives: int, figures: Figures) -> None:
    # It still writes what the restart and the jobs before it brought about.
    await process.rest(longest=120)
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


# What is printed.


def print_burst(arguments: argparse.Namespace) -> None:
    """Measure the bare handler and the operator, and print both."""
    bare, ours = (asyncio.run(measure(which, arguments)) for which in (BareHandler, Operator))
    print_figures(bare, ours, arguments)
    if arguments.json:
        figures = {name: vars(each) for name, each in (("bare", bare), ("ours", ours))}
        arguments.json.write_text(json.dumps(figures, indent=1))


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
    print(f"  {ours.pods_meanwhile} pods came meanwhile, each of which is in one status that has changed")
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
