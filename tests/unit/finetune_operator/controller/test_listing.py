"""A list where a watch needs one, and ever more seldom where none of them lasts."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import ForbiddenException, NotFoundException
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.listing import Listing


def listing(api: FakeApi) -> Listing:
    return Listing(api, FineTuneJobs(lambda _: None), (), seconds=600)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFoundException(status=404, reason="Not Found"), "(404 Not Found): is their definition installed?"),
        (
            ForbiddenException(status=403, reason="Forbidden"),
            "(403 Forbidden): does a role allow the operator's account",
        ),
        (
            TimeoutError(),
            "(TimeoutError): the API server cannot be reached; does a NetworkPolicy keep the operator from it?",
        ),
        (aiohttp.ClientConnectionError("refused"), "(ClientConnectionError refused): the API server cannot be reached"),
        (ApiException(status=500, reason="Oops"), "(500 Oops)"),
    ],
)
def test_a_start_without_a_list_says_what_is_probably_wrong(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeApi()
    api.failures["list finetunejobs"] = error

    async def start() -> None:
        reading = asyncio.create_task(listing(api).read())
        await asyncio.sleep(5)
        api.failures.clear()
        await reading

    run_in_virtual_time(start())

    assert caplog.records[-1].getMessage().startswith(f"FineTuneJobs cannot be listed {said}")


def test_an_api_server_that_answers_410_to_each_watch_is_asked_for_ever_fewer_lists() -> None:
    api = FakeApi()

    async def watches_that_end_at_once() -> None:
        found = listing(api)
        async with asyncio.timeout(600):
            while True:
                await found.version(None)
                await asyncio.sleep(0.1)

    with suppress(TimeoutError):
        run_in_virtual_time(watches_that_end_at_once())

    assert 20 <= len(api.requests) <= 60


def test_a_watch_that_lasted_is_followed_by_another_at_once() -> None:
    async def seconds_until_lists() -> list[float]:
        found, loop, waited = listing(FakeApi()), asyncio.get_running_loop(), []
        for _ in range(4):
            asked = loop.time()
            await found.version(None)
            waited.append(loop.time() - asked)
            await asyncio.sleep(300)
        return waited

    assert run_in_virtual_time(seconds_until_lists()) == [0.0] * 4


def test_one_namespace_whose_watches_do_not_last_keeps_no_other_waiting() -> None:
    async def seconds_until_the_other_is_listed() -> float:
        found, loop = listing(FakeApi()), asyncio.get_running_loop()
        for _ in range(10):
            await found.version("broken")
        asked = loop.time()
        await found.version("other")
        return loop.time() - asked

    assert run_in_virtual_time(seconds_until_the_other_is_listed()) == 0.0
