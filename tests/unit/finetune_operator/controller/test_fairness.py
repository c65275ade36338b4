"""One tenant's thousands of blocked jobs are that tenant's own affair. Time is virtual: no machine is too slow for it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import PROOF_KEY, finetunejob, merged
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_api.profile import FineTuneProfileSpec
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.numbers import Numbers
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.reconciler import Reconciler
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.budget import Budget
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS, PROFILES, Kind
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.settings import Settings

QPS, BURST = Settings().kube_qps, Settings().kube_burst
LATENCY = 0.005
"""Seconds that the API server takes for a request."""


class BusyApi(FakeApi):
    """An API server of which the operator may ask so much, and which refuses all Jobs but those of the namespace `quiet`.

    It takes `latency` seconds for a request, and works on so many `at_once`.
    """

    def __init__(self, latency: float, at_once: int) -> None:
        super().__init__()
        self._time = asyncio.get_running_loop().time
        self._budget = Budget(per_second=QPS, burst=BURST, clock=self._time)
        self.made: dict[str, float] = {}
        """When each Job was made, by name."""
        self.asked: Counter[str] = Counter()
        """Requests by namespace."""
        self._at_work = asyncio.Semaphore(at_once)
        self._latency = latency
        self.room = False
        """Whether the quota of the namespace lets Jobs through after all."""

    async def _answer(self, namespace: str) -> None:
        await self._budget.take(namespace)
        self.asked[namespace] += 1
        async with self._at_work:
            await asyncio.sleep(self._latency)

    async def get(self, kind: Kind, namespace: str, name: str, *, on_behalf_of: str = "") -> dict[str, Any] | None:
        await self._answer(namespace or on_behalf_of)
        return await super().get(kind, namespace, name)

    async def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"].get("name", "")
        await self._answer(namespace)
        if kind == JOBS:
            if namespace != "quiet" and not self.room:
                raise refusal(403, "exceeded quota: count/jobs.batch=0")
            self.made[name] = self._time()
        return await super().create(kind, manifest)

    async def replace_status(self, kind: Kind, manifest: dict[str, Any], *, in_turn: bool = False) -> dict[str, Any]:
        await self._answer(manifest["metadata"]["namespace"])
        return await super().replace_status(kind, manifest)


class Operator:
    """The parts through which a key goes, as `finetune_operator.app` puts them together."""

    def __init__(self, latency: float = LATENCY, at_once: int = 1000) -> None:
        self.api = BusyApi(latency, at_once)
        clock = asyncio.get_running_loop().time
        self.queue: WorkQueue[Key] = WorkQueue(
            lambda key: self._reconciler.reconcile(key),
            delay_of=lambda _: None,
            lane_of=lambda key: key.namespace,
            is_narrow=lambda namespace: self.blocked.is_refused(namespace),
        )
        self.finetunejobs = FineTuneJobs(self.queue.add, clock)
        self.blocked = BlockedJobs(self.finetunejobs.retry)
        self._reconciler = Reconciler(
            self.api,
            finetunejobs=self.finetunejobs,
            jobs=self._nothing(JOBS),
            pods=self._nothing(PODS),
            profiles=Profiles(
                self.api,
                self._nothing(PROFILES),
                built_in=FineTuneProfileSpec(),
                keys=lambda: [PROOF_KEY],
                installation="finetune/keys",
                clock=clock,
            ),
            pod_defaults=lambda: PodDefaults("trainer:1", "https://operator", "PEM"),
            blocked=self.blocked,
            numbers=Numbers(per_second=1000, interval=2, clock=clock),
            clock=clock,
        )

    def _nothing(self, kind: Kind) -> Informer:
        return Informer(self.api, kind, label=LABEL_JOB_UID, on_change=lambda _: None, resync_seconds=60)

    def submit(self, namespace: str, name: str) -> None:
        raw = merged(finetunejob(name=name), {"metadata": {"namespace": namespace, "uid": f"uid-{name}"}})
        self.finetunejobs.update(self.api.put(FINETUNEJOBS, raw))

    async def work(self) -> None:
        await self.queue.work(Settings().workers, most_later=Settings().later_workers())

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():  # noqa: ASYNC110 - the clock is virtual
            await asyncio.sleep(LATENCY)


async def wait_of_the_quiet(
    others: int,
    before: float,
    *,
    namespaces: int = 1,
    room: bool = False,
    latency: float = LATENCY,
    at_once: int = 1000,
) -> float:
    """Seconds until a namespace's first job gets its Job, `before` seconds after those of others came, and, without room, were refused."""
    operator = Operator(latency, at_once)
    operator.api.room = room
    for number in range(others):
        operator.submit(f"crowd-{number % namespaces}", f"crowd-{number}")
    work = asyncio.create_task(operator.work())
    await asyncio.sleep(before)
    begun = asyncio.get_running_loop().time()
    operator.submit("quiet", "quiet")
    await operator.until(lambda: "quiet" in operator.api.made)
    work.cancel()
    return operator.api.made["quiet"] - begun


@pytest.mark.slow
@pytest.mark.parametrize("before", [0, 10])
def test_a_job_gets_its_job_within_a_second_beside_ten_thousand_blocked_ones_of_another(before: float) -> None:
    assert run_in_virtual_time(wait_of_the_quiet(10_000, before)) <= 1


@pytest.mark.slow
def test_a_job_gets_its_job_within_a_second_beside_ten_thousand_blocked_ones_at_an_api_server_with_one_slow_core() -> (
    None
):
    assert run_in_virtual_time(wait_of_the_quiet(10_000, 30, latency=0.03, at_once=1)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("namespaces", [1, 100])
def test_a_job_gets_its_job_within_a_second_beside_thousands_that_begin_in_however_many_other_namespaces(
    namespaces: int,
) -> None:
    assert run_in_virtual_time(wait_of_the_quiet(2000, 3, namespaces=namespaces, room=True)) <= 1


@pytest.mark.slow
def test_blocked_jobs_leave_nearly_all_requests_to_the_others_in_the_long_run() -> None:
    async def program() -> float:
        operator = Operator()
        for number in range(40):
            operator.submit("crowd", f"crowd-{number}")
        work = asyncio.create_task(operator.work())
        await asyncio.sleep(1800)
        before = operator.api.asked["crowd"]
        await asyncio.sleep(1800)
        work.cancel()
        return (operator.api.asked["crowd"] - before) / 1800 / 40

    assert run_in_virtual_time(program()) <= 1 / 300


@pytest.mark.thorough
def test_when_there_is_room_the_blocked_are_made_one_after_the_other_long_before_their_time() -> None:
    async def program() -> float:
        operator = Operator()
        for number in range(40):
            operator.submit("crowd", f"crowd-{number}")
        work = asyncio.create_task(operator.work())
        await asyncio.sleep(1800)
        operator.api.room = True
        operator.blocked.wake("crowd")
        begun = asyncio.get_running_loop().time()
        await operator.until(lambda: len(operator.api.made) == 40)
        work.cancel()
        return asyncio.get_running_loop().time() - begun

    assert run_in_virtual_time(program()) <= 10
