"""Logs on stderr: one JSON object a line for machines, or text for people."""

import logging
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from finetune_api.printable import printable


class _PrintableFormatter(logging.Formatter):
    """Text of which each record is one line, a traceback aside. Messages repeat what strangers sent.

    JSON needs none of this: it escapes what is not ASCII, and line breaks.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return printable(super().formatException(ei), lines=True)


def set_up(form: Literal["json", "text"], level: str) -> None:
    """Send all logs of the process to stderr."""
    handler = logging.StreamHandler()
    if form == "json":
        fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(fields, rename_fields=renamed, datefmt="%Y-%m-%dT%H:%M:%S%z"))
    else:
        handler.setFormatter(_PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Kopf logs each event that it passes on.
    logging.getLogger("kopf").setLevel(max(logging.getLogger().level, logging.WARNING))
    logging.getLogger("asyncio").setLevel(logging.WARNING)
