"""Which columns of a csv file, where all is text, are numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.data.readers.tables import Doubt

_INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
_CODE = r"^(?:[+-]?0[0-9]+|\+[0-9]+|-0|-?[0-9]{19,})$"
"""Digits of which something would be lost: 007, or more than 64 bits hold."""


@dataclass
class Numerals:
    """What the values of a column in one file look like."""

    integers: bool = True
    codes: bool = False
    number: tuple[str, int] | None = None
    """The first that is a number, and its line."""
    word: tuple[str, int] | None = None
    """The first that is none."""

    def look(self, values: Any, lines: Sequence[int]) -> None:
        """Take an Arrow array of texts, null where nothing is, and the line of each."""
        if self.word and self.number:
            return
        trimmed = pc.utf8_trim_whitespace(values)
        are_numbers = pc.match_substring_regex(trimmed, _NUMBER)
        for wanted, known in ((True, self.number), (False, self.word)):
            index = pc.index(are_numbers, wanted).as_py()
            if known is None and index >= 0:
                found = (values[index].as_py(), lines[index])
                self.number, self.word = (found, self.word) if wanted else (self.number, found)
        if self.word is None:
            self.integers = self.integers and pc.all(pc.match_substring_regex(trimmed, _INTEGER)).as_py() is not False
            self.codes = self.codes or bool(pc.any(pc.match_substring_regex(trimmed, _CODE)).as_py())


def feature_of(files: Sequence[Numerals]) -> datasets.Value:
    """The type of a column by what it holds in each file; without files it is text."""
    if not any(found.number for found in files) or any(found.word or found.codes for found in files):
        return datasets.Value("string")
    return datasets.Value("int64" if all(found.integers for found in files) else "float64")


def drift(column: str, files: Sequence[tuple[str, Numerals]]) -> Doubt | None:
    """The doubt that a column has nothing but numbers in one file and nothing but words in another."""
    numbers = next(((name, found.number) for name, found in files if found.number and not found.word), None)
    words = next(((name, found.word) for name, found in files if found.word and not found.number), None)
    if numbers is None or words is None:
        return None
    (one, number), (other, word) = numbers, words
    return Doubt(
        Reason.COLUMN_TYPE,
        f"column '{column}' holds numbers in {one} ('{number[0]}' in line {number[1]}) and words in {other} "
        f"('{word[0]:.80}' in line {word[1]})",
        "write it the same way in all files",
    )
