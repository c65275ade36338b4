"""A work queue: a key is in it once, no two workers hold the same key, and lanes of keys are served in turn.

The design is that of client-go's workqueue (https://pkg.go.dev/k8s.io/client-go/util/workqueue), with Lanes for its queue.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from finetune_operator.kube.errors import API_FAILURES, brief
from finetune_operator.kube.lanes import Lanes

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0

logger = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """Keys that wait for `handle`, which returns the seconds after which to handle the key again, or None."""

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        *,
        delay_of: Callable[[Exception], float | None],
        lane_of: Callable[[K], str] = lambda _: "",
        is_urgent: Callable[[K], bool] = lambda _: False,
    ) -> None:
        """Make an empty queue.

        Args:
            handle: Does the work for one key.
            delay_of: The delay that an error itself asks for, such as Retry-After, in seconds.
            lane_of: Keys of one lane wait for each other; the lanes are served in turn.
            is_urgent: Whether a key goes before the others of its lane; asked when it is added.
        """
        self._handle = handle
        self._delay_of = delay_of
        self._lane_of = lane_of
        self._is_urgent = is_urgent
        self._ready: Lanes[K] = Lanes()
        self._changed = asyncio.Event()
        self._running: set[K] = set()
        self._busy: Counter[str] = Counter()
        self._most_of_a_lane = 1
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K, *, urgent: bool | None = None) -> None:
        """Handle it as soon as its lane's turn comes; after the present run, if it is being handled.

        `urgent` says whether it goes before the others of its lane, where that is known better than by the key.
        """
        if key in self._running:
            self._again.add(key)
        else:
            self._ready.put(self._lane_of(key), key, urgent=self._is_urgent(key) if urgent is None else urgent)
            self._changed.set()

    def add_after(self, key: K, seconds: float, *, urgent: bool | None = None) -> None:
        """Handle it in so many seconds, unless it is scheduled for earlier."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key, urgent)

    def retry_failed(self) -> None:
        """Handle those that failed at once: what they failed of may be over."""
        for key in [*self._failures]:
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
                self.add(key)

    async def work(self, workers: int) -> None:
        """Handle keys with so many workers until cancelled. One lane never has more than half of them, or else one."""
        # Where the API is slow for one namespace, such as behind a webhook that hangs, the others still have workers.
        self._most_of_a_lane = max(1, workers // 2)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    def _fire(self, key: K, urgent: bool | None) -> None:
        self._timers.pop(key, None)
        self.add(key, urgent=urgent)

    async def _worker(self) -> None:
        while True:
            lane, key = await self._next()
            self._running.add(key)
            self._busy[lane] += 1
            try:
                await self._run(key)
            finally:
                self._busy[lane] -= 1
                if not self._busy[lane]:
                    del self._busy[lane]
                self._running.discard(key)
                self._changed.set()
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _next(self) -> tuple[str, K]:
        while (ready := self._ready.pop(lambda lane: self._busy[lane] < self._most_of_a_lane)) is None:
            self._changed.clear()
            await self._changed.wait()
        return ready

    async def _run(self, key: K) -> None:
        try:
            again = await self._handle(key)
        except Exception as error:  # whatever goes wrong with one key must not stop the others
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = self._delay_of(error) or backoff(failures, random.random())  # noqa: S311
            # A thousand keys may have one cause, which is logged once a minute.
            unexpected = None if isinstance(error, API_FAILURES) else error
            cause = type(error).__name__ if unexpected else brief(error)
            text = "%s: failed %d times, again in %.1f s: %s"
            logger.warning(text, key, failures, delay, brief(error), exc_info=unexpected, extra={"cause": cause})
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)


def backoff(failures: int, chance: float, *, first: float = _FIRST_DELAY, longest: float = _LONGEST_DELAY) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, and spread by `chance` in [0, 1)."""
    most = min(longest, first * 2.0 ** min(failures - 1, 30))
    return most * (0.5 + chance / 2)
