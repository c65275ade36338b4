"""Single values of the contract: numbers, times, names and places, each with its bounds."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import PydanticCustomError, core_schema

from finetune_api.printable import Printable

MAX_MESSAGE = 1024
MAX_NAME = 64
MAX_COUNT = 9_007_199_254_740_991
"""Whole numbers beyond are not the same in every JSON parser."""
MAX_SECONDS = 3_153_600_000
"""A hundred years."""
FIRST_YEAR, LAST_YEAR = 1970, 8999
"""Years of a time that can be meant: not Go's zero time, and none that another time zone takes out of what Python holds."""

_NUMBER = r"^(?:[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(?i:nan|inf|infinity))$"
"""What Python writes for a float: also of a loss that is not finite."""


class _Number:
    """Annotation of a string that is a number. A status has hundreds, so that they are checked without a line of Python."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=_NUMBER),
            custom_error_type="number",
            custom_error_message="must be a number, such as 0.5810, or NaN",
        )
        return core_schema.chain_schema([handler(source), number])


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC to the second, as Kubernetes writes times."""
    # A third of the time that strftime takes: of a status it was a tenth.
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def sane(moment: datetime) -> datetime | None:
    """The time in UTC, which is also taken for the zone of one that has none; None unless it lies in years that can be meant."""
    if not FIRST_YEAR - 1 <= moment.year <= LAST_YEAR + 1:
        return None
    # The API server takes a time without a zone, which could not be compared with any other.
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


def _sane(moment: datetime) -> datetime:
    in_utc = sane(moment)
    if in_utc is None:
        message = "must lie in the years {first} to {last}"
        raise PydanticCustomError("time", message, {"first": FIRST_YEAR, "last": LAST_YEAR})
    return in_utc


def _at_most_a_century(seconds: object) -> object:
    """An estimate after a slow first step may be any number: more than a century is as good as a century."""
    return min(seconds, MAX_SECONDS) if isinstance(seconds, int | float) else seconds


Time: TypeAlias = Annotated[datetime, AfterValidator(_sane), PlainSerializer(format_time, return_type=str)]
Seconds: TypeAlias = Annotated[int, Field(ge=0, le=MAX_SECONDS), BeforeValidator(_at_most_a_century)]
Decimal: TypeAlias = Annotated[str, Field(max_length=32), _Number()]
Uri: TypeAlias = Annotated[str, Field(max_length=1024), Printable()]
ReasonText: TypeAlias = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
Message: TypeAlias = Annotated[str, Field(max_length=MAX_MESSAGE), Printable()]
Identifier: TypeAlias = Annotated[str, Field(max_length=253), Printable()]
Word: TypeAlias = Annotated[str, Field(max_length=MAX_NAME), Printable()]
"""A name of a few letters: of a metric, a class, a device, a version."""
Revision: TypeAlias = Annotated[str, Field(max_length=256), Printable()]
Step: TypeAlias = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Bytes: TypeAlias = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Digest: TypeAlias = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
