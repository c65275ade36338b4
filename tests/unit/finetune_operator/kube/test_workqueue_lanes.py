"""Keys of one lane leave workers to those of the others."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_operator.kube.working_queue import at_work, no_delay
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.workqueue import WorkQueue


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
