"""The type of a column of JSON values, found over all of them.

As in `datasets`, objects that all have the same keys are a struct, and whatever else is mixed is kept as JSON.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import datasets
import pyarrow as pa  # type: ignore[import-untyped]


@dataclass(frozen=True)
class ListOf:
    inner: "Shape"


@dataclass(frozen=True)
class Struct:
    fields: dict[str, "Shape"]


Shape: TypeAlias = str | ListOf | Struct
"""`null`, `bool`, `int64`, `long` (of which a float would lose digits), `float64`, `string`, `json`, or made of these."""

_SCALARS = {bool: "bool", int: "int64", float: "float64", str: "string"}
_VALUES = {"long": "int64"}
_LARGEST = 2**63
_MANY_DIGITS = re.compile(r"[0-9]{19}")
_EXACT = 2**53
"""Up to which a float holds each whole number."""
_MOST_DEPTH = 16
_MOST_KEYS = 1000
"""What is nested deeper, and objects of more keys, are kept as JSON: Arrow and `datasets` take no types of any size."""


def shape_of(values: Sequence[Any], depth: int = 0) -> Shape:
    """The shape of all the values; None fits each. `depth` is in how many lists and objects they are."""
    there = [value for value in values if value is not None]
    kinds = set(map(type, there))
    if not kinds:
        return "null"
    if kinds <= {list, dict} and depth >= _MOST_DEPTH:
        return "json"
    if kinds == {list}:
        return ListOf(shape_of(list(chain.from_iterable(there)), depth + 1))
    if kinds == {dict}:
        keys = there[0].keys()
        if not 0 < len(keys) <= _MOST_KEYS or any(value.keys() != keys for value in there):
            return "json"
        return Struct({key: shape_of([value[key] for value in there], depth + 1) for key in keys})
    if kinds <= {int, float}:
        return _number_of(there)
    return _SCALARS[kinds.pop()] if len(kinds) == 1 else "json"


def _number_of(values: Sequence[int | float]) -> Shape:
    whole = [value for value in values if isinstance(value, int)]
    is_exact = all(-_EXACT <= value <= _EXACT for value in whole)
    if len(whole) < len(values):
        return "float64" if is_exact else "json"
    if is_exact:
        return "int64"
    return "long" if all(-_LARGEST <= value < _LARGEST for value in whole) else "json"


def merged(one: Shape, other: Shape) -> Shape:
    """The shape of values of both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, ListOf) and isinstance(other, ListOf):
        return ListOf(merged(one.inner, other.inner))
    if isinstance(one, Struct) and isinstance(other, Struct) and one.fields.keys() == other.fields.keys():
        return Struct({key: merged(shape, other.fields[key]) for key, shape in one.fields.items()})
    return {frozenset({"int64", "float64"}): "float64", frozenset({"int64", "long"}): "long"}.get(
        frozenset({str(one), str(other)}), "json"
    )


def feature_of(shape: Shape) -> Any:
    """As a type of `datasets`."""
    if isinstance(shape, ListOf):
        return datasets.List(feature_of(shape.inner))
    if isinstance(shape, Struct):
        return {key: feature_of(inner) for key, inner in shape.fields.items()}
    return datasets.Json() if shape == "json" else datasets.Value(_VALUES.get(shape, shape))


def storage_type(shape: Shape) -> Any:
    """As a type of Arrow; JSON is kept as text."""
    if isinstance(shape, ListOf):
        return pa.list_(storage_type(shape.inner))
    if isinstance(shape, Struct):
        return pa.struct({key: storage_type(inner) for key, inner in shape.fields.items()})
    return pa.string() if shape == "json" else datasets.Value(_VALUES.get(shape, shape))()


def stored(value: Any, shape: Shape) -> Any:
    """The value as it is kept: what is of shape `json` as a text of JSON."""
    if value is None or not _holds_json(shape):
        return value
    if isinstance(shape, ListOf):
        return [stored(inner, shape.inner) for inner in value]
    if isinstance(shape, Struct):
        return {key: stored(value[key], inner) for key, inner in shape.fields.items()}
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(_readable(value), ensure_ascii=False) if _MANY_DIGITS.search(text) else text


def _readable(value: Any) -> Any:
    """With whole numbers beyond 64 bits as text: `datasets` reads JSON by a parser that has none."""
    if isinstance(value, dict):
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_readable(inner) for inner in value]
    return str(value) if isinstance(value, int) and not -_LARGEST <= value < 2 * _LARGEST else value


def _holds_json(shape: Shape) -> bool:
    if isinstance(shape, ListOf):
        return _holds_json(shape.inner)
    if isinstance(shape, Struct):
        return any(map(_holds_json, shape.fields.values()))
    return shape == "json"
