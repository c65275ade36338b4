"""A key is worked on by one worker, as often as needed and no oftener."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.logging_setup import RepeatsCounted


@asynccontextmanager
async def at_work(queue: WorkQueue[str], workers: int = 4, most_later: int | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.work(workers, most_later=most_later))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(test: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not test():  # noqa: ASYNC110 - the queue has no event for a test
            await asyncio.sleep(0)


def no_delay(_: Exception) -> float | None:
    return None


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


async def test_a_failure_is_tried_again_and_does_not_stop_other_keys() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)
        if key == "bad" and handled.count("bad") < 3:
            raise RuntimeError("not yet")

    queue = WorkQueue(handle, delay_of=lambda _: 0.001)
    queue.add("bad")
    queue.add("good")
    async with at_work(queue, workers=1):
        await until(lambda: handled.count("bad") == 3)

    assert handled.count("good") == 1


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


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_grows_is_spread_and_stays_below_five_minutes(failures: int, chance: float) -> None:
    delay = backoff(failures, chance)

    assert 0.1 <= delay <= 30
    assert backoff(failures + 1, chance) >= delay
    assert backoff(failures, 0) <= delay


async def test_a_lane_of_thousands_lets_another_through_after_what_is_being_handled() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)
        await asyncio.sleep(0)

    queue = WorkQueue(handle, delay_of=no_delay, lane_of=lambda key: key[0])
    for number in range(10_000):
        queue.add(f"a{number}")
    async with at_work(queue):
        await until(lambda: len(handled) >= 100)
        queue.add("b")
        before = len(handled)
        await until(lambda: "b" in handled)

    assert handled.index("b") - before <= 4


async def test_a_key_that_is_urgent_goes_before_the_others_of_its_lane() -> None:
    handled: list[str] = []

    async def handle(key: str) -> None:
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay, is_urgent=lambda key: key == "running")
    for key in ("new", "newer", "running"):
        queue.add(key)
    async with at_work(queue, workers=1):
        await until(lambda: len(handled) == 3)

    assert handled == ["running", "new", "newer"]


async def test_a_lane_in_which_everything_hangs_leaves_workers_to_the_others() -> None:
    handled: list[str] = []
    release = asyncio.Event()

    async def handle(key: str) -> None:
        if key[0] == "a":
            await release.wait()
        handled.append(key)

    queue = WorkQueue(handle, delay_of=no_delay, lane_of=lambda key: key[0])
    for number in range(20):
        queue.add(f"a{number}")
    async with at_work(queue, workers=4):
        await asyncio.sleep(0.01)
        queue.add("b")
        await until(lambda: handled == ["b"])
        release.set()
        await until(lambda: len(handled) == 21)


async def test_a_narrow_lane_has_two_workers_until_it_is_wide_again() -> None:
    running: list[str] = []
    narrow, may_end = {"a"}, asyncio.Semaphore(0)

    async def handle(key: str) -> None:
        running.append(key)
        await may_end.acquire()
        running.remove(key)

    queue = WorkQueue(handle, delay_of=no_delay, lane_of=lambda key: key[0], is_narrow=narrow.__contains__)
    for number in range(20):
        queue.add(f"a{number}")
    async with at_work(queue, workers=8):
        await asyncio.sleep(0.01)
        while_narrow = [*running]
        narrow.clear()
        may_end.release()
        await until(lambda: len(running) > 2)
        await asyncio.sleep(0.01)
        once_wide = [*running]

    assert (while_narrow, once_wide) == (["a0", "a1"], ["a1", "a2", "a3", "a4"])


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


def test_what_failed_for_long_is_tried_every_half_a_minute_and_at_once_when_it_is_told_to() -> None:
    tries: list[float] = []

    async def handle(_: str) -> None:
        tries.append(asyncio.get_running_loop().time())
        raise OSError("no API server")

    async def program() -> None:
        queue = WorkQueue(handle, delay_of=no_delay)
        queue.add("a")
        async with at_work(queue):
            await asyncio.sleep(600)
            queue.retry_failed()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    run_in_virtual_time(program())

    pauses = [after - before for before, after in pairwise(tries)]
    assert max(pauses) <= 30
    assert tries[-1] == 600


@pytest.mark.slow
def test_of_a_thousand_keys_with_one_cause_one_line_is_logged_a_minute_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(_: str) -> None:
        raise OSError("no API server")

    async def program() -> None:
        queue = WorkQueue(handle, delay_of=no_delay)
        for number in range(1000):
            queue.add(str(number))
        async with at_work(queue):
            await asyncio.sleep(180)

    now = [0.0]
    counted = RepeatsCounted(lambda: now[0])
    run_in_virtual_time(program())

    lines = []
    for number, record in enumerate(caplog.records):
        now[0] = 180 * number / len(caplog.records)
        lines += [record] if counted.filter(record) else []
    assert len(caplog.records) > 5000
    assert len(lines) == 3
    assert not any(record.exc_info for record in caplog.records)
    assert "more like this" in lines[1].getMessage()


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


def test_a_key_whose_every_pass_is_cancelled_by_nobody_knows_whom_waits_ever_longer_and_keeps_no_other_waiting() -> (
    None
):
    waits: list[float] = []
    tries = 0

    async def handle(key: str) -> None:
        nonlocal tries
        if key == "poison":
            tries += 1
            raise asyncio.CancelledError
        waits.append(asyncio.get_running_loop().time() - float(key))

    async def program() -> None:
        queue: WorkQueue[str] = WorkQueue(handle, delay_of=no_delay, rest=0.2)
        queue.add("poison")
        async with at_work(queue):
            for _ in range(300):
                queue.add(str(asyncio.get_running_loop().time()))
                await asyncio.sleep(1)

    run_in_virtual_time(program())

    assert (len(waits), max(waits)) == (300, 0)
    assert 10 <= tries <= 40


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


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc"), st.booleans(), st.integers(1, 3)), max_size=40),
    st.integers(2, 6),
)
def test_no_worker_is_idle_while_a_change_waits_in_a_lane_with_room(
    keys: list[tuple[int, str, bool, int]], workers: int
) -> None:
    waiting, running = set[str](), set[str]()
    idle_beside: list[tuple[set[str], set[str]]] = []

    async def handle(key: str) -> None:
        waiting.discard(key)
        running.add(key)
        await asyncio.sleep(int(key[-1]))
        running.remove(key)

    async def scenario() -> None:
        queue = WorkQueue(handle, delay_of=no_delay, lane_of=lambda key: key[0])
        async with at_work(queue, workers):
            for now in range(80):
                for number, (time, lane, later, seconds) in enumerate(keys):
                    if time == now:
                        key = f"{lane}-{number}-{'later' if later else 'change'}-{seconds}"
                        waiting.add(key)
                        queue.add(key, later=later)
                await asyncio.sleep(0.5)
                full = {lane for lane in "abc" if sum(key[0] == lane for key in running) >= max(1, workers // 2)}
                ready = {key for key in waiting if "change" in key and key[0] not in full}
                if ready and len(running) < workers:
                    idle_beside.append((ready, {*running}))
                await asyncio.sleep(0.5)

    run_in_virtual_time(scenario())

    assert (idle_beside, waiting, running) == ([], set(), set())
