"""What failed is tried again, ever later, and within bounds."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_operator.kube.working_queue import at_work, no_delay
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.logging_setup import RepeatsCounted


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


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_grows_is_spread_and_stays_below_five_minutes(failures: int, chance: float) -> None:
    delay = backoff(failures, chance)

    assert 0.1 <= delay <= 30
    assert backoff(failures + 1, chance) >= delay
    assert backoff(failures, 0) <= delay


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
