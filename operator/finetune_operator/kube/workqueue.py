"""A work queue: a key is in it once, and no two workers hold the same key.

The design is that of client-go's workqueue: https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 300.0

logger = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """Keys that wait for `handle`, which returns the seconds after which to handle the key again, or None."""

    def __init__(
        self, handle: Callable[[K], Awaitable[float | None]], *, delay_of: Callable[[Exception], float | None]
    ) -> None:
        """`delay_of` returns the delay that an error itself asks for, such as Retry-After, in seconds."""
        self._handle = handle
        self._delay_of = delay_of
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        """Handle it as soon as a worker is free; after the present run, if it is being handled."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Handle it in so many seconds, unless it is scheduled for earlier."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    async def work(self, workers: int) -> None:
        """Handle keys with so many workers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                await self._run(key)
            finally:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _run(self, key: K) -> None:
        try:
            again = await self._handle(key)
        except Exception as error:  # whatever goes wrong with one key must not stop the others
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = self._delay_of(error) or backoff(failures, random.random())  # noqa: S311
            logger.warning("%s: failed %d times, again in %.1f s", key, failures, delay, exc_info=error)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, and spread by `chance` in [0, 1)."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(failures - 1, 30))
    return longest * (0.5 + chance / 2)
