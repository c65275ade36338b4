"""How long to wait after failures in a row."""

from typing import Final

_FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0


def backoff(failures: int, chance: float, *, first: float = _FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, and spread by `chance` in [0, 1)."""
    most = min(longest, first * 2.0 ** min(failures - 1, 30))
    return most * (0.5 + chance / 2)
