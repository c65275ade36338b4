"""A rate limit for each key, in constant memory."""

import time
from collections.abc import Callable

from cachetools import TTLCache


class RateLimit:
    """At most `burst` at once and `per_second` in the long run, for each key (the generic cell rate algorithm).

    `keys` bounds the memory: the keys that were not used for longest are forgotten first.
    """

    def __init__(
        self, *, per_second: float, burst: int, keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) * self._interval
        self._clock = clock
        # A key whose time has passed is as good as new, so that forgetting it then changes nothing.
        self._due: TTLCache[str, float] = TTLCache(keys, ttl=self._tolerance + self._interval, timer=clock)

    def wait(self, key: str) -> float:
        """Return 0 if the request may go now, and count it; else the seconds to wait, and count nothing."""
        now = self._clock()
        due = max(self._due.get(key, now), now)
        too_early = due - self._tolerance - now
        if too_early > 0:
            return too_early
        self._due[key] = due + self._interval
        return 0.0
