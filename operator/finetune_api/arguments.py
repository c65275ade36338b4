"""`training.arguments`: names with a value each, bounded in depth, length and number, so that no reader dies of them.

A CRD cannot express "text, number, boolean or null, or a flat list or map of them": it has no unions, and CEL does not see
values without a type. But the bounds of every type may be in one schema, and each applies only to values of its own
type. So the schema refuses depth, lengths and numbers at apply, and what it cannot express (names, keys, and all
bytes together) is in `RULES`: checked by a ValidatingAdmissionPolicy (`finetune_api.policy`), and wherever it is read.
"""

import json
import math
import re
from collections.abc import Callable
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

_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
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
    """Annotation of the map of arguments: checks it here, and gives its bounds as a schema. See the module."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(_check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"type": "object", "maxProperties": MAX_ARGUMENTS, "additionalProperties": _VALUE}


Arguments: TypeAlias = Annotated[dict[str, Any], Field(max_length=MAX_ARGUMENTS), _Bounded()]


def _check(arguments: JsonObject) -> JsonObject:
    checks = (_nested_or_long, *(rule.problem for rule in RULES))
    problem = next((found for check in checks if (found := check(arguments))), None)
    if problem is not None:
        raise PydanticCustomError("arguments", "{message}", {"message": problem})
    return arguments


def _nested_or_long(arguments: JsonObject) -> str | None:
    """Return what is wrong with a value that the schema refuses, too, or None. Never look deeper than a value may be nested."""
    return next((why for name, value in arguments.items() if (why := _wrong_value(name, value))), None)


def _wrong_value(name: str, value: object) -> str | None:
    match value:
        case list():
            if len(value) > MAX_ITEMS:
                return f"{name}: a list holds at most {MAX_ITEMS} values, and this one {len(value)}"
            return next((why for each in value if (why := _wrong_inner(name, each))), None)
        case dict():
            if len(value) > MAX_KEYS:
                return f"{name}: a map holds at most {MAX_KEYS} values, and this one {len(value)}"
            return next((why for key, each in value.items() if (why := _wrong_inner(f"{name}.{key}", each))), None)
    return _wrong_scalar(name, value, MAX_TEXT)


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


@dataclass(frozen=True)
class ArgumentRule:
    """A rule of the admission policy, and the same in Python, whose message names the argument."""

    cel: str
    """What must hold, in CEL; `variables.arguments` is the map."""
    message: str
    """The API server's message."""
    problem: Callable[[JsonObject], str | None]
    """The same in Python: return what is wrong, naming the argument, or None."""


def _wrong_name(arguments: JsonObject) -> str | None:
    wrong = (name for name in arguments if not re.fullmatch(_NAME, name))
    return next(
        (f"{name!r:.80} is no argument's name, which has letters, digits and _, at most 64" for name in wrong), None
    )


def _wrong_key(arguments: JsonObject) -> str | None:
    keys = ((name, key) for name, value in arguments.items() if isinstance(value, dict) for key in value)
    return next(
        (
            f"{name}: a key is text of at most {MAX_KEY} characters, not {key!r:.80}"
            for name, key in keys
            if not isinstance(key, str) or len(key) > MAX_KEY
        ),
        None,
    )


def _too_many_bytes(arguments: JsonObject) -> str | None:
    size = len(json.dumps(arguments, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass"))
    return f"takes at most {MAX_BYTES} bytes in all, and this is {size}" if size > MAX_BYTES else None


def _scalar_bytes(value: str) -> str:
    """CEL for the bytes of a scalar, without quotes and escapes."""
    other = f"(type({value}) == null_type ? 4 : size(string({value})))"
    return f"(type({value}) == string ? size(bytes({value})) : {other})"


def _value_bytes(value: str) -> str:
    items = f"{value}.map(item, {_scalar_bytes('item')} + 1).sum()"
    entries = f"{value}.map(key, size(bytes(key)) + {_scalar_bytes(f'{value}[key]')} + 2).sum()"
    return f"(type({value}) == list ? {items} : type({value}) == map ? {entries} : {_scalar_bytes(value)})"


RULES: Final = (
    ArgumentRule(
        cel=f"variables.arguments.all(name, name.matches('{_NAME}'))",
        message="an argument's name has letters, digits and _, at most 64",
        problem=_wrong_name,
    ),
    ArgumentRule(
        cel=f"variables.arguments.all(name, type(variables.arguments[name]) != map || variables.arguments[name].all(key, size(key) <= {MAX_KEY}))",
        message=f"the key of a map has at most {MAX_KEY} characters",
        problem=_wrong_key,
    ),
    ArgumentRule(
        # Counts no more than Python does (no quotes, no escapes), so that it refuses nothing that is taken there.
        cel=f"variables.arguments.map(name, size(bytes(name)) + {_value_bytes('variables.arguments[name]')} + 2).sum() <= {MAX_BYTES}",
        message=f"takes at most {MAX_BYTES} bytes in all",
        problem=_too_many_bytes,
    ),
)
"""What the schema cannot express."""
