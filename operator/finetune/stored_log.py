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
    best, most = len(stored), 0
    for place in range(len(stored)):
        alike = _alike(stored, place, known)
        if alike > most:
            best, most = place, alike
        if most == len(known):  # as soon as in a log that says the same line a hundred thousand times
            break
    return stored[best + 1 :]


def _alike(stored: Sequence[str], place: int, known: Sequence[str]) -> int:
    """How many lines, back from this one, are the newest that were shown."""
    most = min(place + 1, len(known))
    return next((count for count in range(most) if stored[place - count] != known[-1 - count]), most)
