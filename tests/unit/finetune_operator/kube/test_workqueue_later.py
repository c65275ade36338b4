"""What can wait comes after what cannot, holds some of the workers at most, and yet comes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from tests.unit.finetune_operator.kube.working_queue import at_work, no_delay
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.workqueue import WorkQueue


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_key_whose_numbers_are_due_at_once_may_ask_for_another_look_before_they_are_handled(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    handled: list[str] = []

    async def handle(key: str) -> float:
        handled.append(key)
        if len(handled) < 3:
            # As a report does that comes within the pass.
            queue.add_after(key, 0.0, later=True)
        return 30.0

    async def program() -> None:
        queue.add("a")
        async with at_work(queue):
            await until(lambda: len(handled) == 3)

    queue = WorkQueue(handle, delay_of=no_delay)
    run(program())

    assert handled == ["a"] * 3


async def test_what_can_wait_comes_after_what_cannot_and_yet_comes() -> None:
    handled: list[str] = []
    release = asyncio.Event()

    async def handle(key: str) -> None:
        await release.wait()
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay, lane_of=lambda key: key[0])
    for number in range(3):
        queue.add(f"a-numbers-{number}", later=True)
    for number in range(20):
        queue.add(f"a-new-{number}")
    depths = {name: depth for name, (depth, _) in queue.waiting().items()}
    async with at_work(queue, workers=1):
        release.set()
        await until(lambda: len(handled) == 23)

    first, second, third = (handled.index(f"a-numbers-{number}") for number in range(3))
    assert depths == {"changes": 20, "later": 3}
    assert (first, second, third) == (8, 17, 22)
    assert {name: depth for name, (depth, _) in queue.waiting().items()} == {"changes": 0, "later": 0}


@pytest.mark.parametrize(("most", "expected"), [(None, 2), (3, 3)], ids=["a third", "as many as are said"])
async def test_what_can_wait_holds_some_of_the_workers_at_most(most: int | None, expected: int) -> None:
    begun: list[str] = []
    release = asyncio.Event()

    async def handle(key: str) -> None:
        begun.append(key)
        if "numbers" in key:
            await release.wait()

    queue = WorkQueue(handle, delay_of=no_delay)
    for number in range(10):
        queue.add(f"numbers-{number}", later=True)
    async with at_work(queue, workers=8, most_later=most):
        await until(lambda: len(begun) == expected)
        queue.add("new")
        await until(lambda: "new" in begun)
        held = len(begun)
        release.set()
        await until(lambda: len(begun) == 11)

    assert held == expected + 1


async def test_what_can_wait_and_hangs_leaves_workers_of_its_own_lane_to_what_cannot() -> None:
    begun: list[str] = []
    release = asyncio.Event()

    async def handle(key: str) -> None:
        begun.append(key)
        if "numbers" in key:
            await release.wait()

    queue = WorkQueue(handle, delay_of=no_delay)
    for number in range(20):
        queue.add(f"numbers-{number}", later=True)
    async with at_work(queue, workers=12, most_later=12):
        await until(lambda: len(begun) == 4)
        await asyncio.sleep(0.01)
        queue.add("new")
        await until(lambda: "new" in begun)
        held = [*begun]
        release.set()
        await until(lambda: len(begun) == 21)

    assert held == [*(f"numbers-{number}" for number in range(4)), "new"]


@pytest.mark.parametrize("is_narrow", [False, True])
def test_what_can_wait_comes_where_changes_of_its_own_lane_never_end(is_narrow: bool) -> None:
    begun: list[str] = []

    async def handle(key: str) -> None:
        begun.append(key)
        queue.add(f"change-{len(begun)}")
        await asyncio.sleep(1 + len(begun) / 1000)  # no two of them end at once

    queue = WorkQueue(handle, delay_of=no_delay, is_narrow=lambda _: is_narrow)

    async def program() -> None:
        for number in range(20):
            queue.add(f"new-{number}")
        queue.add("deadline", later=True)
        async with at_work(queue, workers=12):
            await asyncio.sleep(60)

    run_in_virtual_time(program())

    assert "deadline" in begun[:30]


async def test_a_key_that_can_wait_moves_up_when_it_cannot_any_more() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay)
    for key in ("a", "b"):
        queue.add(key, later=True)
    queue.add("b")
    queue.add("b", later=True)
    async with at_work(queue, workers=1):
        await until(lambda: len(handled) == 2)
        await asyncio.sleep(0.01)

    assert handled == ["b", "a"]


def test_what_failed_and_can_wait_does_so_when_all_are_tried_again_at_once() -> None:
    handled: list[str] = []
    is_away = True

    async def handle(key: str) -> None:
        if is_away:
            raise OSError("no API server")
        handled.append(key)

    async def program() -> None:
        nonlocal is_away
        queue = WorkQueue(handle, delay_of=lambda _: 30.0, can_wait=lambda key: key.startswith("has-job"))
        for key in ("has-job-1", "has-job-2", "new", "has-job-3"):
            queue.add(key)
        async with at_work(queue, workers=1):
            await asyncio.sleep(10)
            is_away = False
            queue.retry_failed()
            queue.add("newer")
            await asyncio.sleep(10)

    run_in_virtual_time(program())

    assert handled == ["new", "newer", "has-job-1", "has-job-2", "has-job-3"]


async def test_a_begin_forgets_that_what_can_wait_came_as_news_while_nobody_worked() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay, can_wait=lambda key: key.startswith("has-job"), rest=0.01)
    for key in ("has-job-1", "new-1", "gone", "has-job-2"):
        queue.add(key)
    queue.add_soon("has-job-3")
    queue.add_soon("new-2")
    queue.begin_anew(["has-job-0", "new-1", "has-job-1", "has-job-2"])
    at_once = {name: depth for name, (depth, _) in queue.waiting().items()}
    await until(lambda: sum(depth for depth, _ in queue.waiting().values()) == 7)
    async with at_work(queue, workers=1):
        await until(lambda: len(handled) == 7)

    assert at_once == {"changes": 2, "later": 3}
    assert handled == ["new-1", "gone", "new-2", "has-job-1", "has-job-2", "has-job-0", "has-job-3"]
