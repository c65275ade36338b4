"""What is probably not meant, and is done all the same: it stands in the log and in `status.warnings`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_api.reasons import Reason

_REASON = "warning_reason"
_logger = logging.getLogger("finetune_trainer.base.run_warnings")


def warn(reason: Reason, message: str) -> None:
    """Say it in the log, and to whoever listens by `collected`.

    Args:
        reason: For machines, such as `Reason.EMPTY_TEXTS`.
        message: What was seen, where (field, column, row or file), and what to do about it.
    """
    _logger.warning("%s", message, extra={_REASON: reason})


class _Listener(logging.Handler):
    def __init__(self, take: Callable[[Reason, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(getattr(record, _REASON), record.getMessage())


@contextmanager
def collected(take: Callable[[Reason, str], None]) -> Iterator[None]:
    """Give reason and message of each warning to `take`, too, such as `RunState.add_warning`."""
    listener = _Listener(take)
    _logger.addHandler(listener)
    try:
        yield
    finally:
        _logger.removeHandler(listener)
