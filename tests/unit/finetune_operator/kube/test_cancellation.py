"""What runs together ends together, whoever does not hear it at first."""

import asyncio

import pytest

from finetune_operator.kube import cancellation
from finetune_operator.kube.cancellation import run_all
from finetune_operator.kube.workqueue import WorkQueue


async def deaf(heard: list[str]) -> None:
    """Takes its first cancellation for something else, as a request does whose time is up in that moment."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            if len(heard) > 1:
                raise


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_SECONDS", 0.001)


async def test_one_that_does_not_hear_the_first_cancellation_is_cancelled_again() -> None:
    heard: list[str] = []
    running = asyncio.create_task(run_all(deaf(heard), asyncio.sleep(3600)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    running.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait([running])

    assert (running.cancelled(), heard) == (True, ["cancelled", "cancelled"])


async def test_one_that_fails_ends_the_others_and_is_raised() -> None:
    heard: list[str] = []

    async def failing() -> None:
        await asyncio.sleep(0.001)
        raise KeyError("one")

    with pytest.raises(KeyError, match="one"):
        await run_all(deaf(heard), failing())

    assert heard == ["cancelled", "cancelled"]


async def test_those_within_are_ended_too_however_often_what_runs_them_is_cancelled_meanwhile() -> None:
    heard: list[str] = []
    inner = asyncio.create_task(run_all(deaf(heard)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    inner.cancel()
    await asyncio.sleep(0)
    inner.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait([inner])

    assert (inner.cancelled(), heard) == (True, ["cancelled", "cancelled"])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def slow_to_end(ending: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ending.set()
        await asyncio.sleep(0.01)


async def failing() -> None:
    await asyncio.sleep(0)
    raise KeyError("one")


async def test_what_ends_others_hears_that_it_is_to_end_itself() -> None:
    ending = asyncio.Event()
    running = asyncio.create_task(run_all(slow_to_end(ending), failing()))
    await ending.wait()

    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()


async def test_workers_of_a_leader_that_leads_no_more_stop_though_one_took_the_end_for_a_timeout() -> None:
    begun, heard = asyncio.Event(), list[str]()

    async def handle(_: str) -> float | None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise TimeoutError from None
        return None

    queue: WorkQueue[str] = WorkQueue(handle, delay_of=lambda _: None, lane_of=lambda key: key)
    working = asyncio.create_task(queue.work(2))
    queue.add("one")
    await begun.wait()

    working.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait([working])

    assert (working.cancelled(), heard) == (True, ["cancelled"])
