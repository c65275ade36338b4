"""An event loop in a thread: what is written once, asynchronously, is used from ordinary code and from notebooks, which run a loop already."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """One loop in one thread, from the first call on."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns. Ctrl-C here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what the iterator yields, and close it at the end, or with the portal if that is closed before."""
        done = object()
        loop = self._running()

        waiting: asyncio.Task[T | object] | None = None

        async def next_item() -> T | object:
            nonlocal waiting
            waiting = asyncio.create_task(_next(items, done))
            return await waiting

        async def close() -> None:
            # Ctrl-C may come before there is a future to cancel: then nobody waits for the item, and the items are busy with it.
            if waiting is not None and not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting])
            if hasattr(items, "aclose"):
                await items.aclose()

        try:
            while (item := self.run(next_item())) is not done:
                yield item  # type: ignore[misc]
        finally:
            # Whoever was interrupted in the loop over the items may drop them after the portal was closed, with which they were.
            if self._loop is loop:
                self.run(close())

    @property
    def is_open(self) -> bool:
        """Whether there was a call, and it was not closed since."""
        return self._loop is not None

    def close(self) -> None:
        """End what still runs, close what is still iterated, and end the thread."""
        if self._loop is not None:
            self.run(_end_others())
            self.run(self._loop.shutdown_asyncgens())
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="finetune", daemon=True).start()
        return self._loop


async def _next(items: AsyncIterator[T], default: object) -> T | object:
    return await anext(items, default)


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)
