"""Evenly spaced turns for many keys, in constant memory: so many a second in all, one a key."""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

_INSTANT = 0.001


class Slots:
    """Gives each key the next free turn, `per_second` of them. A key that has one keeps it, however often it asks.

    So the longer the line of keys, the later each one's next turn; and a key that asks more often does not get more.
    """

    def __init__(self, *, per_second: float, keys: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        """`keys` bounds the memory: those that have not asked for longest are forgotten first."""
        self._spacing = 1 / per_second
        self._clock = clock
        self._turns: LRUCache[str, float] = LRUCache(keys)
        self._last = -math.inf

    def wait(self, key: str, least: float = 0.0) -> float:
        """Return the seconds until this key's turn, which it has until `done`; a new one is in `least` seconds at the earliest."""
        now = self._clock()
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = self._last = max(self._last + self._spacing, now + least)
        # A timer may come a little early, and what is left of the wait be too little for another.
        return turn - now if turn - now > _INSTANT else 0.0

    def is_early(self, key: str) -> bool:
        """Whether this key has a turn that is still to come."""
        return self._turns.get(key, -math.inf) > self._clock() + _INSTANT

    def done(self, key: str) -> None:
        """End this key's turn, or give it up. The next one is a new one."""
        self._turns.pop(key, None)
