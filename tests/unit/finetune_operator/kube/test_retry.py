"""What never ends goes on, whatever it meets, and says so."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from kubernetes.aio.config import ConfigException
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.retry import keep_running, retry_until_done
from finetune_operator.logging_setup import RepeatsCounted
from finetune_operator.metrics.instruments import REGISTRY

PASSING = [
    ConnectionResetError("gone"),
    TimeoutError(),
    ValueError("no JSON"),
    refusal(503, "no"),
    ConfigException("Token file exists but empty."),
]
UNEXPECTED = [
    AttributeError("'uvloop.loop.Handle' object has no attribute 'when'"),
    KeyError("metadata"),
    RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    asyncio.InvalidStateError("invalid state"),
    RecursionError(),
    ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("one")]),
    asyncio.CancelledError(),
]


def counted() -> float:
    return REGISTRY.get_sample_value("finetune_unexpected_errors_total", {"task": "the test"}) or 0.0


def times_of(meets: Callable[[int], Coroutine[Any, Any, None]], seconds: float) -> list[float]:
    """When something began that is kept running for so long; `meets` is awaited with how often it had begun before."""

    async def program() -> list[float]:
        begun: list[float] = []

        async def work() -> None:
            begun.append(asyncio.get_running_loop().time())
            await meets(len(begun) - 1)

        keeping = asyncio.create_task(keep_running("the test", work))
        await asyncio.sleep(seconds)
        keeping.cancel()
        await asyncio.wait([keeping])
        assert keeping.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return begun

    return run_in_virtual_time(program())


@pytest.mark.parametrize("error", [*PASSING, *UNEXPECTED, None], ids=repr)
def test_whatever_it_meets_it_begins_again(error: BaseException | None, caplog: pytest.LogCaptureFixture) -> None:
    before = counted()

    async def meets(times: int) -> None:
        if times:
            await asyncio.Event().wait()
        if error is not None:
            raise error

    begun = times_of(meets, 60)

    (record,) = caplog.records
    assert len(begun) == 2
    assert (bool(record.exc_info), counted() - before) == ((True, 1) if error in UNEXPECTED else (False, 0))
    assert record.getMessage().startswith("the test has ended, and begins again in 0.")


def test_what_fails_each_time_is_tried_ever_more_seldom() -> None:
    async def meets(_: int) -> None:
        raise KeyError("metadata")

    begun = times_of(meets, 3600)

    pauses = [after - before for before, after in pairwise(begun)]
    assert pauses[0] <= 0.2
    assert 15 <= max(pauses) <= 30
    assert len(begun) <= 3600 / 15 + 10


@pytest.mark.parametrize("error", [PASSING[0], UNEXPECTED[0]], ids=repr)
def test_what_ends_again_and_again_is_logged_once_a_minute(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def meets(_: int) -> None:
        raise error

    begun = times_of(meets, 120)

    counts = RepeatsCounted(lambda: begun[records.index(record)])
    records, lines = caplog.records, []
    for record in records:
        lines += [record.getMessage()] if counts.filter(record) else []
    assert len(records) > 10
    assert len(lines) == 2
    assert lines[1].endswith("more like this)")


def test_a_failure_long_after_the_last_one_is_the_first_one() -> None:
    async def meets(times: int) -> None:
        await asyncio.sleep(0 if times < 20 else 600)
        raise KeyError("metadata")

    begun = times_of(meets, 2400)

    assert begun[22] - begun[21] <= 600.2


def test_a_cancellation_that_came_together_with_a_timeout_is_heard() -> None:
    async def meets(_: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise TimeoutError from None

    assert len(times_of(meets, 1)) == 1


@pytest.mark.parametrize("error", [PASSING[0], *UNEXPECTED], ids=repr)
def test_a_start_is_tried_until_it_is_done(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def action() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error

    run_in_virtual_time(retry_until_done("it cannot begin", action))

    assert tries == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
