"""Requests are shared between namespaces, however many one of them wants to send."""

import asyncio

import pytest
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.budget import Budget


async def spend(budget: Budget, share: str, requests: int, times: list[float]) -> None:
    """Send one after the other."""
    loop = asyncio.get_running_loop()
    for _ in range(requests):
        await budget.take(share)
        times.append(loop.time())


def test_so_many_go_at_once_and_the_others_at_the_rate() -> None:
    async def program() -> list[float]:
        times: list[float] = []
        budget = Budget(per_second=10, burst=3, clock=asyncio.get_running_loop().time)
        await spend(budget, "a", 6, times)
        return times

    assert run_in_virtual_time(program()) == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_a_namespace_gets_its_requests_in_turn_beside_one_that_wants_a_thousand() -> None:
    async def program() -> list[float]:
        times: list[float] = []
        budget = Budget(per_second=10, burst=1, clock=asyncio.get_running_loop().time)
        async with asyncio.TaskGroup() as group:
            crowd = [group.create_task(spend(budget, "crowd", 1, [])) for _ in range(1000)]
            await asyncio.sleep(5)
            begun = asyncio.get_running_loop().time()
            await spend(budget, "quiet", 5, times)
            for task in crowd:
                task.cancel()
        return [time - begun for time in times]

    times = run_in_virtual_time(program())

    assert times[-1] <= 1.1, "more than one request of the crowd went before each of the other"


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async def program() -> list[float]:
        times: list[float] = []
        budget = Budget(per_second=1, burst=1, clock=asyncio.get_running_loop().time)
        await budget.take("a")
        given_up = asyncio.create_task(budget.take("a"))
        await asyncio.sleep(0.5)
        given_up.cancel()
        await spend(budget, "b", 2, times)
        return times

    assert run_in_virtual_time(program()) == pytest.approx([1, 2])
