"""The subset of JSONPath that printer columns use: fields, indexes and `?(@.field=="value")` filters."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"\.(?P<field>[A-Za-z_$][\w$-]*(?:(?:\\\.|/)[\w$-]+)*)"
    r"|\.?\[\s*(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\s*\]"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[\?\(\s*(?P<filter>.*?)\s*\)\]"
)
_FILTER = re.compile(r"^@(?P<path>[^=!<>\s]*)\s*==\s*(?P<value>.+)$")


def find(path: str, obj: Any) -> list[Any]:
    """Return every value at `path`; none where a part is missing. Raises ValueError for a path outside the subset."""
    values = [obj]
    for step in parse(path):
        values = [found for value in values for found in step(value)]
    return values


@functools.cache
def parse(path: str) -> tuple[Step, ...]:
    """Parse a path such as `.status.conditions[?(@.type=="Ready")].status` with or without braces.

    Raises ValueError as `find`.
    """
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ValueError(f"invalid JSONPath {path!r} at {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    name = match["field"] or match["quoted"]
    if name is not None:
        return functools.partial(_field, name.replace("\\.", "."))
    if match["index"] is not None:
        return functools.partial(_index, int(match["index"]))
    return _filter(match["filter"])


def _field(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _index(index: int, value: Any) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _filter(text: str) -> Step:
    match = _FILTER.match(text)
    if not match:
        raise ValueError(f"invalid filter in JSONPath: {text!r}")
    path, wanted = match["path"], _literal(match["value"])

    def chosen(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            if find(path, item)[:1] == [wanted]:
                yield item

    return chosen


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text
