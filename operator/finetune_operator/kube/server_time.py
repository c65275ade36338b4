"""The API server's time, by which all times of its objects are: deadlines and durations are counted by it, and not by our own clock.

Each answer of the API server says when it was sent (https://www.rfc-editor.org/rfc/rfc9110#field.date). Clocks that are kept differ by
less than such a date is exact; a node whose clock is not kept may be off by hours, and would end jobs early or let them run on.
"""

import time
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

_EXACT: Final = timedelta(seconds=2)
"""A date has whole seconds, and the answer took a moment."""
_LONGEST_SECONDS: Final = 1.0
"""An answer that took longer may have been on its way since who knows when."""
_ANSWERS: Final = 16
"""Behind one address there may be several API servers, of which one has a clock that is not kept: of so many answers in a row one is likely of another."""


class ServerTime:
    """How far the API server's clock is from ours: the smallest offset of its last answers."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._last: deque[timedelta] = deque(maxlen=_ANSWERS)

    def note(self, date: str | None, received: datetime, took: float) -> None:
        """Take in the header `Date` of an answer that was received then, so many seconds after it was asked for."""
        if not date or took > _LONGEST_SECONDS:
            return
        try:
            ahead = _parse(date) - received
        except (TypeError, ValueError, OverflowError):
            return
        self._last.append(ahead)
        least = min(self._last, key=abs)
        if abs(least) <= _EXACT:
            self._ahead = timedelta()
        elif abs(least - self._ahead) > _EXACT:
            self._ahead = least

    def at(self, ours: datetime) -> datetime:
        """Its time when our clock shows this one."""
        return ours + self._ahead


@lru_cache(maxsize=8)
def _parse(date: str) -> datetime:
    # All answers of a second have the same.
    return parsedate_to_datetime(date)


def boot_time() -> float:
    """Seconds of a clock that goes on while the process is stopped and while the machine sleeps, whatever the time is set to."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_STARTED: Final = datetime.now(UTC), boot_time()


def ours() -> datetime:
    """Our own time, as the clock showed it when the process started: one that is set in mid-run must end no job."""
    started, booted = _STARTED
    return started + timedelta(seconds=boot_time() - booted)


SERVER_TIME: Final = ServerTime()
"""Of the one API server that a process has."""


def now() -> datetime:
    """The API server's time; ours before it has answered, and where the two agree."""
    return SERVER_TIME.at(ours())
