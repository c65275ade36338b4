"""How often somebody else writes over the status of a job of which this process has no Job."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from finetune_operator.kube.backoff import backoff

MOST: Final = 3
"""As many times it is written again; then it is left alone for a while."""
_SOON_SECONDS: Final = 60.0
"""What comes after so long is no part of the same contest."""
_FIRST_SECONDS, _LONGEST_SECONDS = 120.0, 1200.0


@dataclass
class Contest:
    """With whoever else writes the status of one job."""

    version: str = ""
    """The newest version that somebody else has written."""
    last: float = -math.inf
    """When that was noted. Times are those of one clock, in seconds."""
    times: int = 0
    rounds: int = 0
    """How often in a row the job was left alone."""
    until: float = -math.inf

    def note(self, version: str, now: float) -> bool:
        """Note that somebody else has written this version. Return whether that was once too often."""
        if version != self.version:
            soon = max(self.last, self.until) + _SOON_SECONDS >= now
            self.times, self.rounds = (self.times + 1, self.rounds) if soon else (1, 0)
            self.version, self.last = version, now
        return self.times > MOST

    def stand_back(self, now: float, chance: Callable[[], float] = random.random) -> None:
        """Leave the job alone for one to two minutes, twice as long each time, twenty at most. After that once is too often."""
        self.rounds, self.times = self.rounds + 1, MOST
        self.until = now + backoff(self.rounds, chance(), first=_FIRST_SECONDS, longest=_LONGEST_SECONDS)

    def left(self, now: float) -> float:
        """Seconds for which the job is still to be left alone; 0 if it is not."""
        return max(0.0, self.until - now)
