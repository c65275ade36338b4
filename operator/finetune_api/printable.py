"""Text that another program sent, made fit to be shown: in a status, in an Event, in a log that people read.

Whatever a pod, a kubelet or an API server sends may hold what a terminal obeys, what turns a line around or what nobody
can see. Nothing of it passes: strings of the contract that come from outside have a type from here, and so do logs.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

SUBSTITUTE: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character that cannot be shown."""

# CSI and OSC sequences of ECMA-48: colours, cursor movements, titles. Logs are full of them, and without them are plain text.
_TERMINAL: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_LINE_BREAKS: Final = re.compile("\r\n|[\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029]")
# Characters that are letters or marks by their category, and have neither width nor ink.
# https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def printable(text: str, *, lines: bool = False) -> str:
    """Return `text` without what a terminal obeys, turns or hides; never longer than before.

    Sequences for a terminal are left out, any line break or other white space becomes a space, and what cannot be shown
    (control characters, bidirectional overrides, characters without width, half of a surrogate pair) the SUBSTITUTE.

    Args:
        lines: Keep line breaks, as `\\n`, and tabs: for the end of a log.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_BREAKS.sub("\n", _TERMINAL.sub("", text))
    kept = "\n\t" if lines else ""
    return "".join(each if each in kept else _shown(each) for each in text)


def _shown(character: str) -> str:
    if character.isprintable():
        return SUBSTITUTE if _INVISIBLE.match(character) else character
    return " " if character in "\n\t" or unicodedata.category(character) == "Zs" else SUBSTITUTE


@dataclass(frozen=True)
class Printable:
    """Annotation of a string that comes from outside: it is made printable before it is checked.

    It stands after the bounds, which then hold for what is shown: `Annotated[str, Field(max_length=64), Printable()]`.
    """

    lines: bool = False
    """Keep line breaks and tabs."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._convert, handler(source))

    def _convert(self, value: Any) -> Any:
        # A report has hundreds of names, and nearly all are plain.
        if not isinstance(value, str) or (value.isascii() and value.isprintable()):
            return value
        return printable(value, lines=self.lines)
