"""An API server that does not answer is one line a minute in the log, however many jobs and namespaces meet it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import START, finetunejob, job, observation, parsed
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.controller.entry import Entry
from finetune_operator.controller.explainer import Explainer
from finetune_operator.kube.client import PODS
from finetune_operator.kube.informer import Informer
from finetune_operator.logging_setup import RepeatsCounted

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


async def test_a_thousand_jobs_that_wait(away: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    explainer = Explainer(away, lambda: 1000.0)
    waits = observation(job())

    for number in range(1000):
        one = replace(parsed(), name=f"job-{number}")
        assert one.spec is not None
        await explainer.explain(one, waits, one.spec, Entry(finetunejob()), START + timedelta(hours=1))

    assert len(caplog.records) == 1000
    assert len(lines(caplog)) == 1


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
