"""Where a log goes on in the copy of it that is stored, once its pod is gone."""

from collections.abc import Sequence


def rest_of(stored: Sequence[str], shown: Sequence[str]) -> Sequence[str]:
    """Return the lines of the stored log that come after those that were shown; all of them, where none of these is stored.

    A pod writes lines that are not stored, such as those of native libraries, and one line may come twice. So the place is where
    most lines before it are as they were shown.
    """
    there = set(stored)
    known = [line for line in shown if line in there]
    if not known:
        return stored
    places = [place for place, line in enumerate(stored) if line == known[-1]]
    return stored[max(places, key=lambda place: _alike(stored, place, known)) + 1 :]


def _alike(stored: Sequence[str], place: int, known: Sequence[str]) -> int:
    """How many lines, back from this one, are the newest that were shown."""
    pairs = zip(reversed(stored[: place + 1]), reversed(known), strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), min(place + 1, len(known)))
