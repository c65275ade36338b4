"""/metrics, on a port of its own: who scrapes needs neither the probes nor the report endpoint."""

import time
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from finetune_operator.metrics.fleet import Fleet
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.serving import Server, serve

BOUNDS = Bounds(total=32, per_address=8)

_SHARE: Final = 10
"""What took long to write is written seldom: in each format that takes a tenth of the time at most, however often strangers ask."""
_PLAIN, _OPENMETRICS = "", "application/openmetrics-text; version=1.0.0"


class _Pages:
    """What is scraped, in both formats: the same for all that ask within a moment."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        """By format, until when a page counts, and its text."""

    def page(self, accept: str) -> tuple[bytes, str]:
        """The text for who accepts this, and its type."""
        wanted = _format(accept)
        encode, content_type = choose_encoder(wanted)
        until, text = self._kept.get(wanted, (0.0, b""))
        begun = self._clock()
        if begun >= until:
            text = encode(self._registry)
            now = self._clock()
            self._kept[wanted] = now + _SHARE * (now - begun), text
        return text, content_type


def _format(accept: str) -> str:
    """The first format of a header that there is; the plain one for whoever names none."""
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == "text/plain":
            return _PLAIN
        if kind == "application/openmetrics-text" and "version=0.0.1" not in parameters:
            return _OPENMETRICS
    return _PLAIN


async def serve_metrics(host: str, port: int, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> Server:
    """Serve the instruments and `fleet` in Prometheus' text format, or in OpenMetrics' for who asks for it.

    Raises OSError if the address cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(fleet)
    pages = _Pages(registry, clock)

    async def metrics(request: web.Request) -> web.Response:
        text, content_type = pages.page(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=text, headers={hdrs.CONTENT_TYPE: content_type})

    return await serve([web.get("/metrics", metrics)], host, port, BOUNDS)
