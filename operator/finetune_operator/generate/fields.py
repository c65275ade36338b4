"""Structural schema → Markdown: a heading for each object of a manifest, below it a table of its fields."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from finetune_api.base import JsonObject

_LARGEST_INTEGER: Final = 2**53 - 1
"""No limit of ours: a larger one is not the same number in every program that reads JSON."""
_SIZES: Final = {"Length": "characters", "Items": "items", "Properties": "entries"}


def sections(schema: JsonObject, path: str) -> Iterator[str]:
    """Yield the Markdown of the object at `path` ("" for the whole file), then of each object below it.

    The elements of a list have the path of the list and `[]`.
    """
    parts = (f"## {path or 'Top level'}", schema.get("description"), field_table(schema), rules(schema))
    yield "\n\n".join(part for part in parts if part)
    for name, field in schema["properties"].items():
        below, suffix = (field["items"], "[]") if "items" in field else (field, "")
        if "properties" in below:
            shown = {**below, "description": field.get("description") or below.get("description")}
            yield from sections(shown, f"{path}.{name}{suffix}".lstrip("."))


def field_table(schema: JsonObject) -> str:
    """Return the table of an object's fields: name, type, default, limits and description."""
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            kind(field),
            "required" if name in required else default(field),
            limits(field),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    return table(("field", "type", "default", "limits", "description"), rows)


def kind(field: JsonObject) -> str:
    """Return the type of a field in words, such as `list of string`."""
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    match field.get("type"):
        case "array":
            return f"list of {kind(field['items'])}"
        case "object" if "additionalProperties" in field:
            return f"map of {kind(field['additionalProperties'])}"
        case None:
            return "any"
        case name:
            return str(name)


def default(field: JsonObject) -> str:
    """Return a field's default as JSON; that of an object is given at its own fields."""
    value = field.get("default")
    return "" if value is None or "properties" in field else f"`{json.dumps(_shortest(value))}`"


def limits(field: JsonObject) -> str:
    """Return what a value must keep to, as far as a schema can express it."""
    found = [_range(field)]
    if "enum" in field:
        found.append(", ".join(f"`{value}`" for value in field["enum"]))
    found += [_size(field.get(f"min{of}"), field.get(f"max{of}"), unit) for of, unit in _SIZES.items()]
    found += [f"matches `{field['pattern']}`"] if "pattern" in field else []
    found += [field["format"]] if "format" in field else []
    elements = field.get("items") or field.get("additionalProperties") or {}
    if "type" in elements and "properties" not in elements and (inner := limits(elements)):
        found.append(f"each {inner}")
    if "properties" not in field:
        found += [rule["message"] for rule in field.get("x-kubernetes-validations", [])]
    return "; ".join(filter(None, found))


def rules(schema: JsonObject) -> str:
    """Return the rules between an object's fields as a list; a message that several fields share is one item."""
    fields_of: dict[str, list[str]] = {}
    for rule in schema.get("x-kubernetes-validations", []):
        fields_of.setdefault(rule["message"], []).extend([rule["fieldPath"].lstrip(".")] if "fieldPath" in rule else [])
    return "\n".join(
        f"- {', '.join(f'`{name}`' for name in fields)}{': ' if fields else ''}{message}"
        for message, fields in fields_of.items()
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table. A line break or `|` in a cell does not break it."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "\\<") for index, part in enumerate(parts))


def _range(field: JsonObject) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    high = None if high == _LARGEST_INTEGER else high
    above = "above" if field.get("exclusiveMinimum") else "at least"
    below = "below" if field.get("exclusiveMaximum") else "at most"
    if low is not None and high is not None and (above, below) == ("at least", "at most"):
        return f"{low:,} to {high:,}"
    bounds = [*([f"{above} {low:,}"] if low is not None else []), *([f"{below} {high:,}"] if high is not None else [])]
    return " and ".join(bounds)


def _size(low: int | None, high: int | None, unit: str) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"at most {high:,} {unit}"
        case _, None:
            return "not empty" if low == 1 else f"at least {low:,} {unit}"
    return f"{low:,} to {high:,} {unit}"


def _shortest(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
