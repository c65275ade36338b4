"""What a status takes for a time or a number, whoever sends it."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_api.values import Decimal, Seconds, Step, Time, format_time, sane

_ZONES = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_EXTREMES = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
_TIMES = st.datetimes(timezones=_ZONES) | st.sampled_from(
    [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59), *_EXTREMES]  # noqa: DTZ001 - one without a zone is meant
)
_NUMBERS = st.integers() | st.floats() | st.booleans() | st.text() | st.none() | st.sampled_from([10**400, -(10**400)])


@given(_TIMES)
def test_any_time_is_refused_or_in_utc_and_can_be_written_and_read_again(moment: datetime) -> None:
    taken = sane(moment)

    if taken is not None:
        written = format_time(taken)
        assert taken.tzinfo is UTC
        assert 1970 <= int(written[:4]) <= 8999
        assert format_time(TypeAdapter(Time).validate_python(written)) == written


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+14:00", "8999-12-31T23:59:59-00:01", "1970-01-01T00:00:00+00:01", "9999-12-31T00:00:00Z"],
)
def test_a_time_at_an_extreme_is_refused_in_any_zone(text: str) -> None:
    with pytest.raises(ValidationError, match="must lie in the years 1970 to 8999"):
        TypeAdapter(Time).validate_json(json.dumps(text))


@given(_NUMBERS)
def test_any_number_is_refused_or_within_bounds(value: object) -> None:
    for kind, most in ((Step, 2**53 - 1), (Seconds, 3_153_600_000)):
        try:
            taken = TypeAdapter(kind).validate_python(value)
        except ValidationError:
            continue
        assert 0 <= taken <= most


@pytest.mark.parametrize("text", ["0.5810", "-1", "+2.", ".5", "1e-05", "1E+300", "nan", "NaN", "-inf", "Infinity"])
def test_what_python_writes_for_a_float_is_a_decimal(text: str) -> None:
    assert TypeAdapter(Decimal).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "one", "0x1F", "1_000", "\uff11\uff12", " 1", "1\n", "1;2", "1e", ".", "9" * 33])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Decimal).validate_python(text)
