"""Columns of a small table."""

from typing import Any

ROWS = 40


def each(*values: Any) -> list[Any]:
    """ROWS values, taken in turn."""
    return [values[number % len(values)] for number in range(ROWS)]


def prose(words: str = "one row of text") -> list[str]:
    return [f"{words}, number {number}" for number in range(ROWS)]


CHAT = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]
