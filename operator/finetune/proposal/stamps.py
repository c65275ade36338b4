"""Texts of one token that a program wrote: dates and times, ids, and names with a number in them."""

import re
from collections.abc import Iterable
from typing import Any, Final

_DAY: Final = (
    r"(?:\d{4}([-/])\d{1,2}\1\d{1,2}|\d{1,2}([-/])\d{1,2}\2(?:\d{4}|\d{2})"
    # Between dots stand the parts of a version, too: 2024.1.0 and 3.11.4 are none of a calendar's.
    r"|\d{4}\.\d{2}\.\d{2}|\d{1,2}\.\d{1,2}\.\d{4}|(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d{2})"
)
_HALF_OR_ZONE: Final = r"(?: ?[AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|GMT|[-+]\d\d(?::?\d\d)?))?"
_DATE: Final = re.compile(
    rf"{_DAY}(?:(?:T|,? )\d[\d:.,]*{_HALF_OR_ZONE})?|\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?{_HALF_OR_ZONE}"
)
_NUMBERED: Final = re.compile(r"(?=[^\d]*\d)[!-~]+")
"""In ASCII, with a digit and without a blank: T-100042, an e-mail's or a page's address with a number, a molecule in SMILES."""
_ID: Final = re.compile(r"#?(?:[A-Za-z]+[-_#.:])*[A-Za-z]*#?\d[-\d_.:]*[A-Za-z]?")
"""Words before numbers: T-100042, INV-2026-0042, user7."""
_CODE: Final = re.compile(r"[A-Za-z\d_-]{6,}")
"""A UUID, a hash, an article's number, where all have one length."""


def are_dates(values: Iterable[Any]) -> bool:
    """Return whether all texts but the empty ones are dates or times, and there are some."""
    return _all_are(_DATE, _shown(values))


def are_numbered(values: Iterable[Any]) -> bool:
    """Return whether all texts but the empty ones are single tokens with a number, and there are some."""
    return _all_are(_NUMBERED, _shown(values))


def are_ids(values: Iterable[Any]) -> bool:
    """Return whether texts differ by numbers alone or are codes of one length, so that nothing is learned from them."""
    shown = _shown(values)
    if not _all_are(_NUMBERED, shown):
        return False
    if len({len(each) for each in shown}) == 1 and _all_are(_CODE, shown):
        return True
    # Names that people chose, such as anna92, have as many words as there are people.
    words = {re.sub(r"\d+", "0", each) for each in shown}
    return _all_are(_ID, shown) and len(words) <= max(1, len(shown) // 10)


def _shown(values: Iterable[Any]) -> list[str]:
    return [each.strip() for each in values if isinstance(each, str) and each.strip()]


def _all_are(pattern: re.Pattern[str], values: list[str]) -> bool:
    return bool(values) and all(pattern.fullmatch(each) for each in values)
