"""Logs on stderr: one JSON object a line for machines, or text for people."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from cachetools import LRUCache
from pythonjsonlogger.json import JsonFormatter

from finetune_api.printable import printable
from finetune_operator.kube.errors import brief, unexpected
from finetune_operator.kube.rate_limit import RateLimit

logger = logging.getLogger(__name__)

_LONGEST = 4096
"""Characters of a message."""
_REMEMBERED = 1000
"""Texts, and places in the code, of which it is known when they were logged last."""


class _PrintableFormatter(logging.Formatter):
    """Text of which each record is one line, a traceback aside. Messages repeat what strangers sent.

    JSON needs none of this: it escapes what is not ASCII, and line breaks.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return printable(super().formatException(ei), lines=True)


class RepeatsCounted(logging.Filter):
    """Lets a line pass once a minute, and the lines of one place in the code at a bounded rate; counts the others.

    How many there were is added to the next one that passes. What strangers do may be logged a thousand times a second, and a
    log that fills a disk, or hides all else, is one of the things they may want. Lines with a `cause` (in `extra`) are counted by
    that, wherever they come from: without an API server the Lease, the watches and a thousand jobs have one thing to say.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._of_a_text = RateLimit(per_second=1 / 60, burst=1, keys=_REMEMBERED, clock=clock)
        self._of_a_place = RateLimit(per_second=1, burst=50, keys=_REMEMBERED, clock=clock)
        self._left_out: LRUCache[str, int] = LRUCache(_REMEMBERED)
        self._one_thread = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; its message is bounded, and says how many like it were not."""
        try:
            place, text = f"{record.name}:{record.lineno}", record.getMessage()[:_LONGEST]
        except (TypeError, ValueError):  # arguments that do not fit, which the handler complains about
            return True
        if (cause := getattr(record, "cause", None)) is None:
            vars(record).pop("cause", None)  # which would be a field of JSON's without a value
        what, like = (cause,) * 2 if cause else (f"{place} {text}", place)
        with self._one_thread:
            if self._of_a_text.wait(what) or self._of_a_place.wait(place):
                self._left_out[like] = self._left_out.get(like, 0) + 1
                return False
            more = self._left_out.pop(like, 0)
        record.msg, record.args = f"{text} ({more} more like this)" if more else text, ()
        return True


def note_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error in a callback, or in a task for which nobody waits, but for one of a connection that this process has closed.

    uvloop reads on from such a one, and then finds it closed: a traceback for each request that was given up, hundreds of them beside
    an API server that does not answer.
    """
    error = context.get("exception")
    if "transport" in context and isinstance(error, RuntimeError) and str(error).endswith("the handler is closed"):
        logger.debug("%s: %s", context["message"], error)
        return
    if not isinstance(error, BaseException):
        logger.error("%s", context["message"])
        return
    logger.error("%s: %s", context["message"], brief(error), exc_info=unexpected(error, "callback"))


def set_up(form: Literal["json", "text"], level: str) -> None:
    """Send all logs of the process to stderr."""
    handler = logging.StreamHandler()
    if form == "json":
        fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(fields, rename_fields=renamed, datefmt="%Y-%m-%dT%H:%M:%S%z"))
    else:
        handler.setFormatter(_PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(RepeatsCounted())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Kopf logs each event that it passes on, each try, and a traceback where it ends; why it ended is said by who begins it again.
    logging.getLogger("kopf").setLevel(logging.WARNING if level == "DEBUG" else logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
