"""A key is worked on by one worker, as often as needed and no oftener."""

import asyncio
from itertools import pairwise

from tests.unit.finetune_operator.kube.working_queue import at_work, no_delay
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.workqueue import WorkQueue


async def test_a_key_that_was_added_twice_is_handled_once() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay)
    for key in ("a", "b", "a"):
        queue.add(key)
    async with at_work(queue):
        await until(lambda: len(handled) == 2)
        await asyncio.sleep(0.01)

    assert sorted(handled) == ["a", "b"]


async def test_a_key_added_while_it_is_handled_is_handled_again_afterwards_and_never_twice_at_once() -> None:
    begun: list[int] = []
    at_once = 0
    most = 0
    release = asyncio.Event()

    async def handle(_: str) -> None:
        nonlocal at_once, most
        begun.append(1)
        at_once += 1
        most = max(most, at_once)
        await release.wait()
        at_once -= 1

    queue = WorkQueue(handle, delay_of=no_delay)
    queue.add("a")
    async with at_work(queue):
        await until(lambda: len(begun) == 1)
        queue.add("a")
        queue.add("a")
        release.set()
        await until(lambda: len(begun) == 2)
        await asyncio.sleep(0.01)

    assert (len(begun), most) == (2, 1)


async def test_a_handler_can_ask_to_be_called_again() -> None:
    times = 0

    async def handle(_: str) -> float | None:
        nonlocal times
        times += 1
        return 0.001 if times < 3 else None

    queue = WorkQueue(handle, delay_of=no_delay)
    queue.add("a")
    async with at_work(queue):
        await until(lambda: times == 3)


async def test_the_earliest_appointment_stands() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay)
    queue.add_after("late", 60)
    queue.add_after("late", 0.001)
    queue.add_after("late", 60)
    async with at_work(queue):
        await until(lambda: handled == ["late"])
        await asyncio.sleep(0.01)

    assert handled == ["late"]


def test_what_comes_within_a_moment_of_a_pass_is_one_more_pass() -> None:
    times: list[float] = []

    async def handle(_: str) -> None:
        times.append(asyncio.get_running_loop().time())

    async def events() -> None:
        queue = WorkQueue(handle, delay_of=no_delay, rest=0.2)
        async with at_work(queue):
            for _ in range(5):
                queue.add("a")
                await asyncio.sleep(0.03)
            await asyncio.sleep(1)

    run_in_virtual_time(events())

    assert [round(time - times[0], 2) for time in times] == [0, 0.2]


def test_news_of_which_more_is_to_be_expected_is_one_pass_a_moment_later() -> None:
    times: list[float] = []

    async def handle(_: str) -> None:
        times.append(asyncio.get_running_loop().time())

    async def events() -> None:
        queue = WorkQueue(handle, delay_of=no_delay, rest=0.2)
        async with at_work(queue):
            for _ in range(5):
                queue.add_soon("a")
                await asyncio.sleep(0.03)
            await asyncio.sleep(1)
            queue.add("a")
            queue.add_soon("a")
            await asyncio.sleep(1)

    run_in_virtual_time(events())

    # What is handled at once anyway is not handled a second time.
    assert [round(time - times[0], 2) for time in times] == [0, 0.95]


async def test_news_of_which_more_is_to_be_expected_is_handled_at_once_where_nothing_rests() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay)
    queue.add_soon("a")
    async with at_work(queue):
        await until(lambda: handled == ["a"])


def test_a_pass_says_anew_when_to_look_next() -> None:
    times: list[float] = []
    waits: list[float | None] = [5, 30, None]

    async def handle(_: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return waits.pop(0)

    async def events() -> None:
        queue = WorkQueue(handle, delay_of=no_delay)
        async with at_work(queue):
            queue.add("a")
            await asyncio.sleep(3)
            queue.add("a")
            await asyncio.sleep(100)

    run_in_virtual_time(events())

    assert [round(time - times[0]) for time in times] == [0, 3, 33]


async def test_passes_that_wait_for_nothing_let_others_run_in_between() -> None:
    handled: list[int] = []
    between: list[int] = []

    async def handle(key: str) -> None:
        handled.append(len(between))

    queue = WorkQueue(handle, delay_of=no_delay)
    for number in range(1000):
        queue.add(str(number))
    async with at_work(queue, workers=4):
        while len(handled) < 1000:
            between.append(len(handled))
            await asyncio.sleep(0)

    assert max(after - before for before, after in pairwise([*between, 1000])) <= 4


def test_nothing_waits_for_longer_than_a_day_whatever_time_somebody_has_made_up() -> None:
    handled: list[float] = []

    async def handle(_: str) -> float:
        handled.append(asyncio.get_running_loop().time())
        return 2.2e11

    async def program() -> None:
        queue = WorkQueue(handle, delay_of=no_delay)
        queue.add("a")
        async with at_work(queue):
            await asyncio.sleep(90_000)

    run_in_virtual_time(program())

    assert handled == [0, 86_400]
