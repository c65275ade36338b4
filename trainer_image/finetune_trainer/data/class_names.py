"""What the names of classes tell: which look alike, which are numbers, and which are several in one."""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from finetune_api.plain_numbers import plain_number

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_WRITTEN_NUMBER = re.compile(
    r"[+-]?\s?[$€£¥]?\s?(?:\d{1,3}(?:[.,'\s]\d{3})+|\d+)(?:[.,]\d+)?\s?[%$€£¥]?",
)
"""A number as people write it: 1,5 and 1.234,50 €."""
_SIGNS = re.compile(r"[,%$€£¥]|\d[\s']\d")
_LATIN = str.maketrans(
    "авекмнорстухѕіјԁԛԝ" + "αβεζηικμνορτυχ" + "\u2010\u2011\u2012\u2013\u2014\u2015\u2212" + "\u2018\u2019\u201b`\u00b4\u201c\u201d„«»",
    "abekmhopctyxsijdqw" + "abezhikmnoptyx" + "-------" + "'''''\"\"\"\"\"",
)  # fmt: skip
"""Letters of Cyrillic and Greek that look like Latin ones, be it as capitals alone; dashes; and quotes."""
_JOINED = re.compile(r"(?<=\w)[-_\s]+(?=[^\W_])")
_BETWEEN = re.compile(r"[,;|]")


def look_of(name: str) -> str | Decimal:
    """The same for names that differ in case, white space and what stands for it, Unicode form, invisible characters,
    letters of other scripts that look the same, quotes and dashes, or how a number is written."""
    visible = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cf", "Cc") or letter.isspace())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).translate(_LATIN)
    folded = " ".join(folded.split())
    if NUMBER.fullmatch(folded):
        return Decimal(folded)
    return _JOINED.sub(" ", folded.strip("'\"") or folded)


def number_in_writing(names: Sequence[str]) -> str | None:
    """The first name that is a number with a comma, a sign or a gap, where all names are numbers; such are text to a reader."""
    written = [" ".join(name.split()) for name in names]
    if not all(map(_WRITTEN_NUMBER.fullmatch, written)):
        return None
    return next((name for name in written if _SIGNS.search(name)), None)


def fraction_as_text(names: Sequence[str]) -> str | None:
    """The first name that has a fraction, where all are plain numbers."""
    found = [plain_number(name) for name in names]
    if None in found:
        return None
    return next((name for name in names if not name.strip().lstrip("+-").isdecimal()), None)


def several_in_one(names: Sequence[str]) -> str | None:
    """The first name that is made of other names, as `a,b` beside `a` and `b`."""
    known = {name.strip() for name in names}
    for name in names:
        parts = [part.strip() for part in _BETWEEN.split(name)]
        if len(parts) > 1 and known.issuperset(parts):
            return name
    return None
