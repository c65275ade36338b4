"""Lists and suggestions for the messages that people read."""

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

_FILLERS: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs that show nothing: those of Hangul that fill a place, and Braille's of no dots."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or an empty text where nothing known is close to `word`."""
    by_lower_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return f"; did you mean '{seen(by_lower_case[close[0]])}'?" if close else ""


def seen(name: str) -> str:
    """Return the name with what cannot be seen in it as a number, such as `pos\\u200b`."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in name)


def is_blank(text: str) -> bool:
    """Return whether it shows nothing: white space, and what cannot be seen, such as U+200B and U+FEFF."""
    return not text.strip() or all(map(_shows_nothing, text))


def _shows_nothing(letter: str) -> bool:
    # Zs, Zl, Zp: white space; Cc, Cf: controls and what joins or directs others. Selectors of variants show nothing alone.
    return (
        unicodedata.category(letter) in ("Zs", "Zl", "Zp", "Cc", "Cf")
        or letter in _FILLERS
        or "\ufe00" <= letter <= "\ufe0f"
    )


def named(names: Iterable[str], most: int = 12) -> str:
    """Return names as `listed`, in quotes where blanks around one, or what cannot be seen in it, would be missed."""
    shown = (name if name.isprintable() and name == name.strip() else f"'{seen(name)}'" for name in names)
    return listed(shown, most)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return `a, b, c and 7 more`."""
    every = list(names)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
