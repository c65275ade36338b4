"""Validation of values against OpenAPI schemas, with the messages of Kubernetes' API server.

jsonschema is not used: its dialect differs where it matters (nullable, boolean exclusiveMinimum,
int-or-string), and every message would have to be rewritten to Kubernetes' wording.
"""

import datetime
import functools
import json
import re
from collections.abc import Callable
from typing import Any

from devcluster.apiserver.errors import FieldError, invalid_value, required, unsupported
from devcluster.apiserver.objects import Object

_JSON_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def validate(value: Any, schema: Object, path: str = "") -> list[FieldError]:
    """Return every violation of `schema` by `value`; `path` is the path of the field from the object's root."""
    if value is None and (schema.get("nullable") or not schema.get("type")):
        return []
    errors = _check_enum(value, schema, path)
    if wrong := _check_type(value, schema, path):
        return [wrong, *errors]
    if isinstance(value, str):
        errors += _check_string(value, schema, path)
    elif isinstance(value, dict):
        errors += _check_object(value, schema, path)
    elif isinstance(value, list):
        errors += _check_array(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        errors += _check_number(value, schema, path)
    return errors


def json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "number"  # as Go reads it
    return _JSON_TYPES[type(value)]


def _check_type(value: Any, schema: Object, path: str) -> FieldError | None:
    found = json_type(value)
    if schema.get("x-kubernetes-int-or-string"):
        fits = found in ("integer", "string") or (found == "number" and schema.get("x-quantity"))
        wanted = "integer,string"
    else:
        wanted = schema.get("type") or found
        fits = found == wanted or (wanted == "number" and found == "integer")
        fits = fits or (wanted == "integer" and found == "number" and float(value).is_integer())
    if fits:
        return None
    detail = f'{path or "object"} in body must be of type {wanted}: "{found}"'
    return FieldError(path or "<nil>", "FieldValueTypeInvalid", f'Invalid value: "{found}": {detail}')


def _check_enum(value: Any, schema: Object, path: str) -> list[FieldError]:
    allowed = schema.get("enum")
    if not allowed or any(value == item and type(value) is type(item) for item in allowed):
        return []
    return [unsupported(path, value, allowed)]


def _check_string(value: str, schema: Object, path: str) -> list[FieldError]:
    """Check length, else pattern, and the format."""
    most, least, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    errors: list[FieldError] = []
    if most is not None and len(value) > most:
        errors = [FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")]
    elif least is not None and len(value) < least:
        errors = [invalid_value(path, value, f"{path} in body should be at least {least} chars long")]
    elif pattern and not compiled(pattern).search(value):
        errors = [invalid_value(path, value, f"{path} in body should match '{pattern}'")]
    check = FORMATS.get(schema.get("format", ""))
    if check and not check(value):
        text = json.dumps(value)
        detail = f"{path} in body must be of type {schema['format']}: {text}"
        errors.append(FieldError(path, "FieldValueTypeInvalid", f"Invalid value: {text}: {detail}"))
    return errors


def _check_number(value: float, schema: Object, path: str) -> list[FieldError]:
    errors = []
    for word, exclusive, text, sign in (
        ("minimum", "exclusiveMinimum", "greater than", 1),
        ("maximum", "exclusiveMaximum", "less than", -1),
    ):
        bound = schema.get(word)
        if bound is None:
            continue
        strict = bool(schema.get(exclusive))
        if sign * value < sign * bound or (strict and value == bound):
            words = f"should be {text} {'' if strict else 'or equal to '}{_number(bound)}"
            errors.append(invalid_value(path, value, f"{path} in body {words}"))
    factor = schema.get("multipleOf")
    if factor and abs(value / factor - round(value / factor)) > 1e-9:
        errors.append(invalid_value(path, value, f"{path} in body should be a multiple of {_number(factor)}"))
    return errors


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _check_object(value: Object, schema: Object, path: str) -> list[FieldError]:
    errors = [required(_join(path, name)) for name in schema.get("required") or () if name not in value]
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        errors.append(_too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(invalid_value(path, len(value), f"{path} in body should have at least {least} properties"))
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for name, item in value.items():
        child = properties.get(name, additional)
        if isinstance(child, dict):
            errors += validate(item, child, _join(path, name))
    return errors


def _check_array(value: list[Any], schema: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        errors.append(_too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(invalid_value(path, len(value), f"{path} in body should have at least {least} items"))
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            errors += validate(item, items, f"{path}[{index}]")
    return errors + _check_duplicates(value, schema, path)


def _check_duplicates(value: list[Any], schema: Object, path: str) -> list[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return []
    keys = schema.get("x-kubernetes-list-map-keys") or []
    seen: set[str] = set()
    errors = []
    for index, item in enumerate(value):
        identity = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            shown = json.dumps(identity, separators=(",", ":"))
            errors.append(FieldError(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {shown}"))
        seen.add(text)
    return errors


def _too_many(path: str, count: int, most: int) -> FieldError:
    return FieldError(path, "FieldValueTooMany", f"Too many: {count}: must have at most {most} items")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a Go (RE2) pattern in Python's dialect: `$` matches only at the end of the text, white space is ASCII's."""
    for ours, pythons in ((r"[^\s", r"[^\t\n\f\r "), (r"\S", r"[^\t\n\f\r ]"), (r"\s", r"[\t\n\f\r ]"), (r"\z", r"\Z")):
        pattern = pattern.replace(ours, pythons)
    return re.compile(re.sub(r"(?<!\\)\$(?=$|\))", r"\\Z", pattern), re.ASCII)


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _is_date_time(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text):
        return False
    try:
        datetime.datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "micro-time": _matches(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d\.\d{6}([Zz]|[+-]\d\d:\d\d)"),
    "byte": _matches(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
}
