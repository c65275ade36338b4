"""A text is a number where a file of numbers would have it so."""

import pytest

from finetune_api.plain_numbers import plain_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.125", 0.125), (" 3 ", 3), ("-1e-2", -0.01), ("+.5", 0.5), ("4.", 4), ("007", 7), ("1E3", 1000)],
)
def test_plain_numbers_are_read(text: str, number: float) -> None:
    assert plain_number(text) == number


@pytest.mark.parametrize("text", ["", "1,5", "10 %", "nan", "inf", "0x1f", "1_000", "1.2.3", "٣", "e5", "."])
def test_what_people_write_otherwise_is_text(text: str) -> None:
    assert plain_number(text) is None
