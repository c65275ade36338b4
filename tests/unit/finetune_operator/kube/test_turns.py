"""Between any two pieces of work that take turns the event loop looks for what has come in."""

import asyncio
from typing import Any

import pytest

from finetune_operator.kube.client import JOBS, Kube
from finetune_operator.kube.turns import Turns


class Loop:
    """Counts the turns of the event loop, each of which begins with a look at the sockets."""

    def __init__(self) -> None:
        self.turn = 0
        self._count()

    def _count(self) -> None:
        self.turn += 1
        self._handle = asyncio.get_running_loop().call_soon(self._count)

    def stop(self) -> None:
        self._handle.cancel()


async def test_each_has_a_turn_of_its_own_in_the_order_in_which_they_came() -> None:
    turns, loop = Turns(), Loop()
    had: list[tuple[int, int]] = []

    async def work(number: int) -> None:
        for _ in range(2):
            await turns.take()
            had.append((loop.turn, number))
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(5)))
    loop.stop()

    times = [turn for turn, _ in had]
    assert len(set(times)) == len(times) == 10
    assert sorted(times) == times
    assert [number for _, number in had] == [*range(5), *range(5)]


async def test_nobody_waits_where_nobody_else_does() -> None:
    turns = Turns()

    async with asyncio.timeout(0):
        await turns.take()


@pytest.mark.parametrize("given", [False, True])
async def test_who_goes_away_keeps_nobody_waiting(given: bool) -> None:
    turns = Turns()
    first, second, third = (asyncio.create_task(turns.take()) for _ in range(3))
    await asyncio.sleep(0)
    if given:
        await first
    second.cancel()

    await asyncio.gather(first, third)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(0):
        await turns.take()

    assert second.cancelled()


async def test_answers_that_come_at_once_are_read_one_in_each_turn_of_the_loop() -> None:
    loop, come = Loop(), asyncio.Event()
    times: list[int] = []

    class Answer:
        async def read(self) -> bytes:
            await come.wait()
            return b"{}"

    class Api(Kube):
        async def _send(self, *_: Any, **__: Any) -> Any:
            return Answer()

    api = Api(None, qps=1000, burst=1000)  # type: ignore[arg-type]

    async def ask() -> None:
        await api.get(JOBS, "team-a", "yelp")
        times.append(loop.turn)

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    await asyncio.sleep(0.01)
    come.set()
    await asyncio.gather(*asking)
    loop.stop()

    assert len(set(times)) == 8
