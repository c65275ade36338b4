"""Packages that libraries import wherever they are installed, for what this program never asks of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Within this, whoever looks for these packages finds none, as where they are not installed. What is imported already stays.

    Not where other threads import.
    """
    hidden_now = [name for name in names if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden_now)  # type: ignore[arg-type] # None is what import takes for "not there"
    try:
        yield
    finally:
        for name in hidden_now:
            del sys.modules[name]
