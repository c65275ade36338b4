"""A work queue: a key is in it once, no two workers hold the same key, and lanes of keys are served in turn.

The design is that of client-go's workqueue (https://pkg.go.dev/k8s.io/client-go/util/workqueue), with Lanes for its queue, and two classes of work:
what has changed goes before what can wait.
"""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.cancellation import run_all
from finetune_operator.kube.errors import cause_of, explained, unexpected
from finetune_operator.kube.lanes import Lanes
from finetune_operator.kube.retry import keep_running

K = TypeVar("K", bound=Hashable)

_CHANGES_IN_A_ROW = 8
"""After so many one comes that can wait, so that these never wait for ever."""
_LONGEST_SECONDS = 86_400.0
_NARROW = 2
"""Workers of a lane that is narrow."""
_AHEAD = 4
"""Keys of a lane in which little came of late, ahead of those in which much waits."""

logger = logging.getLogger(__name__)


class _Timer(NamedTuple):
    due: float
    """Kept here: of a delay that rounds to nothing uvloop gives a handle that does not know when (https://github.com/MagicStack/uvloop/issues/482)."""
    handle: asyncio.Handle


class WorkQueue(Generic[K]):
    """Keys that wait for `handle`, which returns the seconds after which to handle the key again, or None."""

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        *,
        delay_of: Callable[[Exception], float | None],
        lane_of: Callable[[K], str] = lambda _: "",
        is_urgent: Callable[[K], bool] = lambda _: False,
        is_narrow: Callable[[str], bool] = lambda _: False,
        can_wait: Callable[[K], bool] = lambda _: False,
        rest: float = 0.0,
    ) -> None:
        """Make an empty queue.

        Args:
            handle: Does the work for one key.
            delay_of: The delay that an error itself asks for, such as Retry-After, in seconds.
            lane_of: Keys of one lane wait for each other; the lanes are served in turn.
            is_urgent: Whether a key goes before the others of its lane; asked when it is added.
            is_narrow: Whether a lane gets two workers at the most, since little comes of its work: what is asked at once for the others, is
                answered the sooner.
            can_wait: Whether a key that is put in with many others (`add_known`), and not for any news of it, can wait; asked then.
            rest: For so many seconds after it was handled a key waits, and one that is added with others to come (`add_soon`), so that all
                that comes meanwhile is one pass.
        """
        self._handle = handle
        self._delay_of = delay_of
        self._lane_of = lane_of
        self._is_urgent = is_urgent
        self._is_narrow = is_narrow
        self._can_wait = can_wait
        self._rest = rest
        self._changes: Lanes[K] = Lanes(ahead=_AHEAD)
        self._later: Lanes[K] = Lanes(ahead=_AHEAD)
        self._in_a_row = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        """Workers that wait for a key."""
        self._running: dict[K, bool] = {}
        """Whether each is one that could wait."""
        self._busy: Counter[tuple[str, bool]] = Counter()
        """Workers that each lane has, with what could wait and with what could not."""
        self._most_of_a_lane = 1
        self._most_later = 1
        self._again: dict[K, bool] = {}
        """Whether it can wait, of each that came while it was being handled, or rested."""
        self._resting: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, _Timer] = {}

    def add(self, key: K, *, later: bool = False) -> None:
        """Handle it as soon as its lane's turn comes; after the present run, if it is being handled.

        `later` is for what can wait, such as numbers: nearly all of what cannot goes before it, of whatever lane.
        """
        if key in self._running or key in self._resting:
            self._again[key] = later and self._again.get(key, True)
        else:
            self._put(key, later=later)

    def add_known(self, key: K) -> None:
        """Handle one of many that are put in at once, without any news of it: most of them can wait, and what is new does not wait for them."""
        self.add(key, later=self._can_wait(key))

    def begin_anew(self, keys: Iterable[K]) -> None:
        """Handle all of these, and what waits already, as `add_known` does: what came while nobody worked is no news any more."""
        waited, self._changes = [*self._changes], Lanes[K](ahead=_AHEAD)
        self._again = {key: self._can_wait(key) for key in self._again}
        for key in (*waited, *keys):
            self.add_known(key)

    def add_soon(self, key: K) -> None:
        """Handle it in a moment, together with what else comes until then: more is to be expected."""
        if self._changes.holds(self._lane_of(key), key):
            return
        self._again[key] = False
        if key not in self._running and key not in self._resting:
            self._let_rest(key)

    def _put(self, key: K, *, later: bool) -> None:
        lane = self._lane_of(key)
        if not later:
            self._later.discard(lane, key)
            self._changes.put(lane, key, urgent=self._is_urgent(key))
        elif not self._changes.holds(lane, key):
            self._later.put(lane, key, urgent=self._is_urgent(key))
        self._wake_worker()

    def waiting(self) -> dict[str, tuple[int, float]]:
        """How many wait of each class, and the seconds for which the first of them has."""
        return {name: (len(lanes), lanes.age()) for name, lanes in (("changes", self._changes), ("later", self._later))}

    def add_after(self, key: K, seconds: float, *, later: bool = False) -> None:
        """Handle it in so many seconds, unless it is scheduled for earlier. Nothing waits for longer than a day: what the wait comes of may be
        a time that somebody has made up."""
        loop = asyncio.get_running_loop()
        due = loop.time() + min(seconds, _LONGEST_SECONDS)
        timer = self._timers.get(key)
        if timer is not None and timer.due <= due:
            return
        if timer is not None:
            timer.handle.cancel()
        self._timers[key] = _Timer(due, loop.call_at(due, self._fire, key, later))

    def retry_failed(self) -> None:
        """Handle those that failed at once: what they failed of may be over."""
        for key in [*self._failures]:
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.handle.cancel()
                self.add_known(key)

    async def work(self, workers: int, *, most_of_a_lane: int | None = None, most_later: int | None = None) -> None:
        """Handle keys with so many workers until cancelled.

        One lane never has more than so many of them, half of them if that is not said, or else one; what can wait never more than
        so many, a third if that is not said, or else one, and of those of a lane two thirds.
        """
        # Where the API is slow for one namespace, such as behind a webhook that hangs, the others still have workers.
        self._most_of_a_lane = most_of_a_lane or max(1, workers // 2)
        self._most_later = most_later or max(1, workers // 3)
        await run_all(*(keep_running("work", self._worker) for _ in range(workers)))

    def _fire(self, key: K, later: bool) -> None:
        self._timers.pop(key, None)
        self.add(key, later=later)

    async def _worker(self) -> None:
        while True:
            lane, key = await self._next()
            share = lane, self._running[key]
            self._busy[share] += 1
            try:
                await self._run(key)
            finally:
                self._busy[share] -= 1
                if not self._busy[share]:
                    del self._busy[share]
                del self._running[key]
                self._let_rest(key)
            # A pass with nothing to do waits for nothing: ten thousand of them must not keep reports and probes waiting.
            await asyncio.sleep(0)

    def _let_rest(self, key: K) -> None:
        self._resting.add(key)
        if self._rest:
            asyncio.get_running_loop().call_later(self._rest, self._end_rest, key)
        else:
            self._end_rest(key)

    def _end_rest(self, key: K) -> None:
        self._resting.discard(key)
        if key in self._again:
            self.add(key, later=self._again.pop(key))

    async def _next(self) -> tuple[str, K]:
        """The next key, which counts as running from then on."""
        while True:
            changes_first = self._in_a_row < _CHANGES_IN_A_ROW
            for later in (not changes_first, changes_first):
                ready = self._pop(later)
                if ready is not None:
                    self._in_a_row = 0 if later else self._in_a_row + 1
                    self._running[ready[1]] = later
                    if self._changes or self._later:
                        self._wake_worker()
                    return ready
            await self._wait_for_key()

    async def _wait_for_key(self) -> None:
        """Wait until there may be a key for this worker."""
        woken = asyncio.get_running_loop().create_future()
        self._idle.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                self._wake_worker()
            raise

    def _wake_worker(self) -> None:
        """Let one worker that waits look for a key. It wakes the next one where more wait: all at once, most of them would find nothing."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    def _pop(self, later: bool) -> tuple[str, K] | None:
        if later and sum(self._running.values()) >= self._most_later:
            return None
        lanes = self._later if later else self._changes
        return lanes.pop(lambda lane: self._has_room(lane, later=later))

    def _has_room(self, lane: str, *, later: bool) -> bool:
        room = min(_NARROW, self._most_of_a_lane) if self._is_narrow(lane) else self._most_of_a_lane
        if self._busy[lane, True] + self._busy[lane, False] >= room:
            return False
        # Of what can wait alone: where changes hold all of a lane's workers, one that gets free must do for it as well.
        return not later or self._busy[lane, True] < max(1, room - max(1, room // 3))

    async def _run(self, key: K) -> None:
        # What it was to be looked at again for is looked at now, and it is said anew when to look next.
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.handle.cancel()
        try:
            again = await self._handle(key)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                # The work ends: nobody knows how much of it was done.
                self._again[key] = False
                raise
            self._try_later(key, error, None)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one key must not stop the others
            self._try_later(key, error, self._delay_of(error))
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, again, later=True)

    def _try_later(self, key: K, error: BaseException, asked: float | None) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = asked or backoff(failures, random.random())  # noqa: S311
        # A thousand keys may have one cause, which is logged once a minute.
        traceback = unexpected(error, "pass")
        cause = type(error).__name__ if traceback else cause_of(error, key)
        text = "%s: failed %d times, again in %.1f s: %s"
        logger.warning(text, key, failures, delay, explained(error), exc_info=traceback, extra={"cause": cause})
        self.add_after(key, delay)


def _is_cancelled() -> bool:
    """Whether somebody has cancelled this task, and not only something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
