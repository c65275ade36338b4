"""Threads beside a test. Where an exception ends one, nobody waits for what it would have done; and one may log at any time."""

import logging
import threading
from typing import Any

_ended_by: list[BaseException] = []


def note_ends() -> None:
    """Keep from now on what ends threads, for `raise_end`; the hook of before is called too."""
    before = threading.excepthook

    def note(end: threading.ExceptHookArgs) -> None:
        if end.exc_value is not None:
            _ended_by.append(end.exc_value)
        before(end)

    threading.excepthook = note


def forget_ends() -> None:
    """Another test begins, or this one is over."""
    _ended_by.clear()


def raise_end() -> None:
    """Raise AssertionError if an exception has ended a thread since `forget_ends`."""
    for error in _ended_by:
        raise AssertionError(f"an exception ended a thread beside the test: {error!r}") from error


class _Loggers(dict[str, Any]):
    """Loggers by their names."""

    def values(self) -> Any:
        return list(super().values())


def let_them_make_loggers() -> None:
    """Pytest looks through all loggers as each phase of a test begins, and a thread may make one meanwhile."""
    logging.root.manager.loggerDict = _Loggers(logging.root.manager.loggerDict)
