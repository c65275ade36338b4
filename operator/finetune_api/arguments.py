"""`training.arguments`: names with a value each, bounded in depth, length and number, so that no reader dies of them.

A CRD cannot say "text, number, boolean or null, or a flat list or map of them": it has no unions, and CEL does not see
values without a type. But the bounds of every type may stand side by side in one schema, and each looks only at values
of its own type. So the schema refuses depth, lengths and numbers at apply, and what it cannot say (names, and all
bytes together) is said by pydantic alone: by the operator, in the job's status, and by the trainer.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from finetune_api.base import JsonObject

MAX_ARGUMENTS: Final = 64
MAX_TEXT: Final = 1024
MAX_INNER_TEXT: Final = 256
MAX_ITEMS: Final = 64
MAX_KEYS: Final = 32
MAX_KEY: Final = 128
MAX_BYTES: Final = 16 * 1024

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_UNTYPED: Final[JsonObject] = {"x-kubernetes-preserve-unknown-fields": True}
_INNER: Final[JsonObject] = {**_UNTYPED, "maxLength": MAX_INNER_TEXT, "maxItems": 0, "maxProperties": 0}
_VALUE: Final[JsonObject] = {
    **_UNTYPED,
    "maxLength": MAX_TEXT,
    "maxItems": MAX_ITEMS,
    "items": _INNER,
    "maxProperties": MAX_KEYS,
    "additionalProperties": _INNER,
}


@dataclass(frozen=True)
class _Bounded:
    """Annotation of the map; see the module."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(_check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"type": "object", "maxProperties": MAX_ARGUMENTS, "additionalProperties": _VALUE}


Arguments: TypeAlias = Annotated[dict[str, Any], Field(max_length=MAX_ARGUMENTS), _Bounded()]


def _check(arguments: JsonObject) -> JsonObject:
    problem = next((found for name, value in arguments.items() if (found := _problem(name, value))), None)
    if problem is None:
        size = len(json.dumps(arguments, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass"))
        if size > MAX_BYTES:
            problem = f"takes at most {MAX_BYTES} bytes in all, and this is {size}"
    if problem is not None:
        raise PydanticCustomError("arguments", "{message}", {"message": problem})
    return arguments


def _problem(name: str, value: object) -> str | None:
    """What is wrong with one argument; never looks deeper than a value may be nested."""
    if not _NAME.fullmatch(name):
        return f"{name!r:.80} is no argument's name, which has letters, digits and _, at most 64"
    match value:
        case list():
            if len(value) > MAX_ITEMS:
                return f"{name}: a list holds at most {MAX_ITEMS} values, and this one {len(value)}"
            return next((why for each in value if (why := _wrong_inner(name, each))), None)
        case dict():
            if len(value) > MAX_KEYS:
                return f"{name}: a map holds at most {MAX_KEYS} values, and this one {len(value)}"
            return next((why for key, each in value.items() if (why := _wrong_entry(name, key, each))), None)
    return _wrong_scalar(name, value, MAX_TEXT)


def _wrong_entry(name: str, key: object, value: object) -> str | None:
    if not isinstance(key, str) or len(key) > MAX_KEY:
        return f"{name}: a key is text of at most {MAX_KEY} characters, not {key!r:.80}"
    return _wrong_inner(f"{name}.{key}", value)


def _wrong_inner(name: str, value: object) -> str | None:
    if isinstance(value, list | dict):
        return f"{name}: is nested too deep; a list or map here holds text, numbers and booleans only"
    return _wrong_scalar(name, value, MAX_INNER_TEXT)


def _wrong_scalar(name: str, value: object, longest: int) -> str | None:
    match value:
        case str() if len(value) > longest:
            return f"{name}: text has at most {longest} characters here, and this one {len(value)}"
        case float() if not math.isfinite(value):
            return f"{name}: must be a finite number, not {value}"
        case int() if abs(value) >= 2**1024:
            return f"{name}: is too large for a number"
        case None | bool() | int() | float() | str():
            return None
    return f"{name}: must be text, a number, a boolean, or a flat list or map of such, not {type(value).__name__}"
