"""The parts of `make bench-operator` that measure the operator alone: a crowd of jobs, pods that report, and shards."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from fleet_load import PODS, Load
from fleet_process import Operator, loaded
from fleet_reports import Reporters

from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION

_CONTROLLER_QPS = 500
"""By Kubernetes' own 20 its controllers would take an hour to make the pods of 10,000 jobs."""
_SETTLE_SECONDS = 10.0
_IDLE_SECONDS = 15.0
_NEW_JOBS = 20
_SHARED_NAMESPACES = 16
_COLLECTIONS = {
    "FineTuneJobs": f"/apis/{GROUP}/{VERSION}/{PLURAL}",
    "Jobs": "/apis/batch/v1/jobs",
    "pods": PODS,
}


async def print_crowd(jobs: int, seconds: float) -> None:
    """Memory of many jobs that wait for a node, what they cost an idle operator, a new job beside them, and a restart."""
    async with loaded(namespaces=4, bucket=False, controller_qps=_CONTROLLER_QPS) as (cluster, load, folder):
        with Operator(cluster, folder) as operator:
            _line("start without jobs until ready, s", await operator.start())
            await load.burst(10)
            await load.paced(1, rate=1, apart=True)
            await asyncio.sleep(3)
            before, begun = operator.memory, time.perf_counter()
            names = await load.grow(jobs)
            _print_waits("a new job of another namespace, while they begin", await load.paced(_NEW_JOBS, 2, apart=True))
            there = await load.have_jobs(names, seconds)
            _line("Jobs a second", there / (time.perf_counter() - begun))
            await _wait_for_pods(load, there, seconds)
            await operator.rest(longest=seconds)
            counts = {kind: await load.count(path) for kind, path in _COLLECTIONS.items()}
            print("there are " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
            _line("memory of the operator, MB", operator.memory / 1e6)
            _line("that is a job, KB", (operator.memory - before) / 1000 / there)
            _line("cores of the operator while nothing happens", await operator.cores(_IDLE_SECONDS))
            _print_waits("a new job beside them", await load.paced(_NEW_JOBS, 2))
            await _print_restart(operator, sum(counts.values()))


async def _wait_for_pods(load: Load, pods: int, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while await load.count(PODS) < pods and time.perf_counter() < end:
        await asyncio.sleep(5)


async def _print_restart(operator: Operator, objects: int) -> None:
    # What is still to be written of the new ones is no work of the restart.
    await asyncio.sleep(_SETTLE_SECONDS)
    operator.end()
    _line(f"restart with {objects:,} objects until ready, s", await operator.start())
    _line("CPU of that, s", operator.cpu)
    await asyncio.sleep(_SETTLE_SECONDS)
    _line("memory after it, MB", operator.memory / 1e6)
    print(f"requests of it, and of {_SETTLE_SECONDS:.0f} s more")
    for name, count in (await operator.requests()).most_common():
        print(f"  {name:42} {count:10}")


async def print_reports(pods: int, seconds: float) -> None:
    """Pods that report as they are asked to: how long a report takes, and how old the numbers in the statuses are."""
    async with loaded(namespaces=1, bucket=True, controller_qps=_CONTROLLER_QPS) as (cluster, load, folder):
        with Operator(cluster, folder) as operator:
            await operator.start()
            await load.burst(pods)
            async with Reporters(load, operator.reports_port, folder) as reporters:
                await reporters.begin(pods)
                _line("pods that report", len(reporters.known))
                requests, cpu = await operator.requests(), operator.cpu
                begun = reporters.measure()
                waits = await load.paced(_NEW_JOBS, rate=1)
                await asyncio.sleep(max(0.0, begun + seconds - time.perf_counter()))
                elapsed, times = time.perf_counter() - begun, [*reporters.times]
                ages = await _ages(load)
                sent = await operator.requests() - requests
                _line("reports a second", len(times) / elapsed)
                _line("a report takes: p50, ms", 1000 * statistics.quantiles(times, n=100)[49])
                _line("a report takes: p99, ms", 1000 * statistics.quantiles(times, n=100)[98])
                _line("reports that were not taken", reporters.failures)
                _line("cores of the operator", (operator.cpu - cpu) / elapsed)
                _line("status writes a second", sent["PUT finetunejobs/status"] / elapsed)
                _line("age of the numbers in status: p50, s", statistics.median(ages))
                _line("age of the numbers in status: p99, s", statistics.quantiles(ages, n=100)[98])
                _line("memory of the operator, MB", operator.memory / 1e6)
                _print_waits("a new job beside them", waits)


async def _ages(load: Load) -> list[float]:
    """Seconds since the last report that the status of each running job has taken in; times in a status are whole seconds."""
    items = (await load.send("GET", _COLLECTIONS["FineTuneJobs"]))["items"]
    now = datetime.now(UTC)
    times = [(each.get("status") or {}).get("progress", {}).get("lastReportTime") for each in items]
    return [(now - datetime.fromisoformat(each)).total_seconds() for each in times if each]


async def print_shards(jobs: int) -> None:
    """A burst over many namespaces with one operator, and with two that have a part of them each."""
    async with loaded(namespaces=_SHARED_NAMESPACES, bucket=True) as (cluster, load, folder):
        rates = []
        for number, parts in enumerate((("0/1",), ("0/2", "1/2"))):
            with contextlib.ExitStack() as stack:
                operators = [
                    stack.enter_context(Operator(cluster, folder / f"{number}-{place}", "--shard", part))
                    for place, part in enumerate(parts)
                ]
                await asyncio.gather(*(each.start() for each in operators))
                rates.append(await _burst(operators, load, jobs))
        _line("two shards/one operator: Jobs a second", rates[1] / rates[0])


async def _burst(operators: Sequence[Operator], load: Load, jobs: int) -> float:
    # Each namespace needs a few objects once, which the first jobs bring about.
    await load.burst(2 * _SHARED_NAMESPACES)
    await asyncio.sleep(3)
    cpu = [each.cpu for each in operators]
    rate = jobs / await load.burst(jobs)
    await asyncio.sleep(_SETTLE_SECONDS)
    used = [each.cpu - before for each, before in zip(operators, cpu, strict=True)]
    name = "one operator" if len(operators) == 1 else f"{len(operators)} shards"
    _line(f"{name}: Jobs a second", rate)
    for place, seconds in enumerate(used):
        _line(f"  CPU of number {place} a job of all, ms", 1000 * seconds / jobs)
    return rate


def _print_waits(name: str, waits: Sequence[float]) -> None:
    _line(f"{name}: apply to Job, median, s", statistics.median(waits))
    _line(f"{name}: apply to Job, longest, s", max(waits))


def _line(name: str, value: float) -> None:
    print(f"{name:56} {value:12,.3f}" if isinstance(value, float) else f"{name:56} {value:12,}", flush=True)
