"""The watches that an operator has, as its metrics tell of them."""

import asyncio

from tests.unit.finetune_operator.controller.test_crowds import watches
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.job.finetunejob import Key


async def test_the_age_of_every_watch_is_told_without_which_nothing_goes_on() -> None:
    assert set(watches().silences()) == {"finetunejobs", "jobs", "pods", "finetuneprofiles"}


def test_what_fails_after_the_api_server_has_answered_again_is_tried_once_it_does_so_a_second_time() -> None:
    tries: list[float] = []

    async def handle(_: Key) -> None:
        tries.append(asyncio.get_running_loop().time())
        raise OSError("no API server")

    async def program() -> None:
        seen = watches(handle, asyncio.get_running_loop().time)
        seen._queue._delay_of = lambda _: 30.0
        seen._queue.add(Key("team-a", "yelp"))
        work = asyncio.create_task(seen._queue.work(1))
        await asyncio.sleep(10)
        for _ in range(3):
            seen._on_recovery()
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        work.cancel()

    run_in_virtual_time(program())

    assert tries == [0, 10, 15]
