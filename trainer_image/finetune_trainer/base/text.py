"""Lists and suggestions for the messages that people read."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or an empty text where nothing known is close to `word`."""
    by_lower_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower_case[close[0]]}'?" if close else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return `a, b, c and 7 more`."""
    every = list(names)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
