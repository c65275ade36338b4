"""values.yaml → each value with its default and the comment above it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Value:
    """One value of the chart; `path` is written as `helm --set` takes it."""

    path: str
    default: Any
    description: str


def chart_values(text: str) -> list[Value]:
    """Return every value that a user can set, in the order of values.yaml. A comment describes the key below it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_values(root, text.splitlines(), "", ""))


def _values(node: yaml.MappingNode, lines: list[str], prefix: str, outer: str) -> Iterator[Value]:
    for key, value in node.value:
        description = _comment_above(lines, key.start_mark.line) or outer
        path = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _values(value, lines, f"{path}.", description)
        else:
            yield Value(path, yaml.safe_load(yaml.serialize(value)), description)


def _comment_above(lines: list[str], line: int) -> str:
    comment: list[str] = []
    for text in reversed(lines[:line]):
        if not text.lstrip().startswith("#"):
            break
        comment.insert(0, text.lstrip(" #"))
    return " ".join(comment)
