"""A number of the contract is what Python writes for a float, and nothing else."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_api.values import Decimal

NUMBERS = TypeAdapter(Decimal)
PATTERN = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)


def is_taken(text: str) -> bool:
    try:
        return NUMBERS.validate_python(text) == text
    except ValidationError:
        return False


@given(st.text(st.sampled_from("0123456789.eE+-nafityNAFITY\n ١İı１K"), max_size=12) | st.text(max_size=40))
@example("nan\n")
@example("1\n")
@example("-Infinity")
@example("ınf")
@example("1" * 33)
def test_a_number_is_written_in_plain_digits_and_short(text: str) -> None:
    assert is_taken(text) == (PATTERN.fullmatch(text) is not None and len(text) <= 32)


@given(st.floats())
def test_every_float_is_one(number: float) -> None:
    assert is_taken(str(number))


@pytest.mark.parametrize(("text", "kind"), [("much", "number"), ("", "number"), ("1" * 33, "string_too_long")])
def test_it_is_said_what_is_wrong(text: str, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NUMBERS.validate_python(text)

    [error] = caught.value.errors()
    assert error["type"] == kind
    if kind == "number":
        assert error["msg"] == "must be a number, such as 0.5810, or NaN"
