"""Between what the fields of a csv file are parted, for whoever looks at one: the trainer, and what proposes a manifest."""

import re
from typing import Final

_QUOTED: Final = re.compile(r'(?<![^,;\t|])"[^"]*(?:""[^"]*)*"')
"""A name in quotes, which may hold any sign."""
_FOR_EXCEL: Final = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)


def is_for_excel(line: str) -> bool:
    """Whether a file's first line is one such as `sep=;`, which tells Excel what parts the fields, and is no row."""
    return _FOR_EXCEL.fullmatch(line) is not None


def separator_of(header: str, usual: str) -> str:
    """Return the sign by which to read a file whose first line is `header`: the `usual` one of its suffix, or what stands there in its place.

    Spreadsheets write semicolons where numbers have a comma.
    """
    signs = _QUOTED.sub("", header)
    return usual if usual in signs else next((sign for sign in ";\t|" if sign in signs), usual)
