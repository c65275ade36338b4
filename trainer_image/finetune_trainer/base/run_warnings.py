"""Warnings about a run: what is probably a mistake and is done all the same. They go to the log and to `status.warnings`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_api.reasons import Reason

_REASON = "warning_reason"
logger = logging.getLogger(__name__)


def warn(reason: Reason, message: str) -> None:
    """Log a warning, and pass it to whoever listens by `collected`.

    Args:
        reason: For machines, such as `Reason.EMPTY_TEXTS`.
        message: What was seen, where (field, column, row or file), and what to do about it.
    """
    logger.warning("%s", message, extra={_REASON: reason})


class _Listener(logging.Handler):
    def __init__(self, take: Callable[[Reason, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(getattr(record, _REASON), record.getMessage())


@contextmanager
def collected(take: Callable[[Reason, str], None]) -> Iterator[None]:
    """Pass reason and message of each warning within to `take`, such as `RunState.add_warning`."""
    listener = _Listener(take)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
