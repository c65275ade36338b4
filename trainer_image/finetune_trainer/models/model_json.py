"""JSON files of a model, which anybody may have written."""

import json
import re
from pathlib import Path
from typing import Any, Final

_MOST_DEPTH: Final = 200
"""No model nests its settings deeper than ten."""
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def read_json(path: Path) -> Any:
    """Return what a file holds.

    Raises:
        RecursionError: It is nested too deep. The parser itself only sees that while nobody has raised Python's recursion limit, as some
            libraries do; after that it ends the process.
        ValueError: It is not JSON.
        OSError: It cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > _MOST_DEPTH:
            raise RecursionError(f"{path.name} is nested deeper than {_MOST_DEPTH}")
    return json.loads(text)
