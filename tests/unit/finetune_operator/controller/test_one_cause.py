"""An API server that does not answer is one line a minute in the log, however many jobs and namespaces meet it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.samples import START, finetunejob, job, observation, parsed
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.controller.entry import Entry
from finetune_operator.controller.explainer import Explainer
from finetune_operator.controller.monthly_use import MonthlyUse
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import PODS
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.lease import Lease
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.logging_setup import RepeatsCounted

REFUSED = aiohttp.ServerDisconnectedError()
AWAY = aiohttp.ConnectionTimeoutError(
    "Connection timeout to host https://10.0.0.1/api/v1/namespaces/some-other-each-time"
)


@pytest.fixture
def away() -> FakeApi:
    api = FakeApi()
    api.failures = {"list events": AWAY, "list pods": AWAY}
    return api


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What of all that came at one moment is written."""
    counts = RepeatsCounted(lambda: 1000.0)
    return [record.getMessage() for record in caplog.records if counts.filter(record)]


async def test_jobs_that_wait_in_a_thousand_namespaces(away: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    explainer = Explainer(away, lambda: 1000.0)
    waits = observation(job())

    for number in range(1000):
        one = replace(parsed(), namespace=f"team-{number}")
        assert one.spec is not None
        await explainer.explain(one, waits, one.spec, Entry(finetunejob()), START + timedelta(hours=1))

    assert len(caplog.records) == 1000
    assert len(lines(caplog)) == 1


WEBHOOK = 'Internal error occurred: failed calling webhook "jobs.example.com": failed to call webhook: 500'


async def passes_fail(error: Exception, number: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is written of so many jobs whose passes all fail at one moment."""

    async def handle(_: Key) -> None:
        raise error

    queue = WorkQueue(handle, delay_of=lambda _: 600.0)
    for each in range(number):
        queue.add(Key("team-a", f"job-{each}"))
    work = asyncio.create_task(queue.work(4))
    while len(caplog.records) < number:  # noqa: ASYNC110 - the queue has no event for a test
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait([work])
    return lines(caplog)


async def test_what_a_webhook_answers_of_each_job_is_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    written = await passes_fail(refusal(500, WEBHOOK), 2, caplog)

    assert [f": 500 refused: {WEBHOOK}" in each for each in written] == [True, True]
    assert {each.partition(":")[0] for each in written} == {"team-a/job-0", "team-a/job-1"}


async def test_of_a_thousand_jobs_that_a_webhook_answers_so_at_once_fifty_are_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert len(await passes_fail(refusal(500, WEBHOOK), 1000, caplog)) == 50


async def test_a_thousand_jobs_beside_an_api_server_whose_etcd_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert len(await passes_fail(refusal(500, "etcdserver: request timed out"), 1000, caplog)) == 1


def test_the_watches_of_a_hundred_namespaces(away: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        names = [f"team-{number}" for number in range(100)]
        informer = Informer(
            away, PODS, namespaces=names, label=None, on_change=lambda _: None, resync_seconds=600,
            clock=asyncio.get_running_loop().time,
        )  # fmt: skip
        running = asyncio.create_task(informer.run())
        await asyncio.sleep(30)
        running.cancel()
        await asyncio.wait([running])

    run_in_virtual_time(program())

    assert len(caplog.records) > 200
    assert len(lines(caplog)) == 1


async def test_the_lease_the_watches_and_the_jobs_say_it_together_though_they_meet_it_differently(
    away: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    away.failures |= {"get leases": REFUSED, "get configmaps": TimeoutError()}
    waits = parsed()
    assert waits.spec is not None
    lease = Lease(away, namespace="ns", name="operator", identity="a", seconds=15)

    await Explainer(away, lambda: 1000.0).explain(
        waits, observation(job()), waits.spec, Entry(finetunejob()), START + timedelta(hours=1)
    )
    await MonthlyUse(away, namespace="ns", name="use").read()
    holding = asyncio.create_task(lease.run(lambda: asyncio.sleep(3600)))
    await until(lambda: len(caplog.records) >= 3)
    holding.cancel()
    await asyncio.wait([holding])

    assert len(caplog.records) == 3
    assert len(lines(caplog)) == 1
