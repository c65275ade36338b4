"""What runs in the portal's loop ends with it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from finetune.portal import Portal

PATIENCE = 60.0
T = TypeVar("T")


class Watch:
    """Items of which the second never comes, and whether they were closed."""

    def __init__(self) -> None:
        self.closed = False

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.closed = True


def test_an_iteration_that_is_left_early_is_closed() -> None:
    portal, watch = Portal(), Watch()
    items = portal.iterate(watch.items())

    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]

    assert watch.closed
    portal.close()


def test_an_iteration_that_is_dropped_after_the_portal_was_closed_is_closed_and_holds_up_nobody() -> None:
    portal, watch = Portal(), Watch()
    items = portal.iterate(watch.items())
    assert next(items) == 1

    portal.close()

    assert watch.closed
    with ThreadPoolExecutor(1) as other:
        other.submit(items.close).result(PATIENCE)  # type: ignore[attr-defined]


def test_what_still_runs_comes_to_its_end_before_the_loop_does() -> None:
    portal, ended = Portal(), []

    async def serve() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("serve")

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        return task

    task = portal.run(begin())

    portal.close()

    assert (ended, task.cancelled()) == (["serve"], True)


class Interrupted(Portal):
    """Ctrl-C comes right after the second item is asked for, before anybody waits for it."""

    asked = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self.asked += 1
        if self.asked == 2:
            asyncio.run_coroutine_threadsafe(coroutine, self._running())
            raise KeyboardInterrupt
        return super().run(coroutine)


def test_who_interrupts_before_an_item_is_waited_for_closes_the_items_all_the_same() -> None:
    portal, watch = Interrupted(), Watch()

    with pytest.raises(KeyboardInterrupt):
        list(portal.iterate(watch.items()))

    assert watch.closed
    portal.close()


def test_an_error_of_the_items_comes_to_who_iterates() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("broken")

    portal = Portal()
    items = portal.iterate(failing())

    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    portal.close()
