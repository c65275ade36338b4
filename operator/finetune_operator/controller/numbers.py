"""When what pods report may be written into the statuses: in turn, so many a second of all jobs."""

import time
from collections.abc import Callable
from typing import Final

from finetune_operator.kube.slots import Slots

TURNS_A_REPORT: Final = 1.5
"""So many turns there are for each report that is asked for: with as few as reports, a line of jobs that once was there would never end."""


class Numbers:
    """The turns of the jobs, `per_second` of them in all, and for each job at most one in `interval` seconds.

    A turn is given when a report comes, so that no pass is made before it, and no pass finds that it came too early.
    Writes of numbers have this budget to themselves, beside that of all other requests: they keep none of those waiting.
    """

    def __init__(self, *, per_second: float, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = Slots(per_second=per_second, clock=clock)
        self.interval = interval
        self._clock = clock

    def wait(self, uid: str, written: float | None) -> float:
        """Seconds until the numbers of the FineTuneJob with this uid may be written, which was `written` last then."""
        least = 0.0 if written is None else max(0.0, written + self.interval - self._clock())
        return self._slots.wait(uid, least)

    def done(self, uid: str) -> None:
        """Note that its status was written, whatever for: that holds the newest numbers, too."""
        self._slots.done(uid)
