"""A list where a watch needs one, and ever more seldom where none of them lasts."""

import asyncio
from contextlib import suppress

from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.listing import Listing


def listing(api: FakeApi) -> Listing:
    return Listing(api, FineTuneJobs(lambda _: None), (), seconds=600)


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
