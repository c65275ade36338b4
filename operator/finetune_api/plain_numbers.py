"""Numbers that are written as text, for whoever reads a column: the trainer, and what proposes a manifest."""

import re
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def plain_number(text: str) -> float | None:
    """The number that a text is, as a file of numbers has it: 0.5, -3 and 1e-3; None where it is none."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None
