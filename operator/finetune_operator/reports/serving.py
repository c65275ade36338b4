"""HTTP for strangers: an application behind bounded connections, time limits, and no traceback.

Both ports of the operator are served so, that of reports and that of probes: both can be reached by every pod.
"""

import asyncio
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import HttpProcessingError

from finetune_api.report import MAX_REPORT_INTERVAL
from finetune_operator.reports.connections import Bounds, Listener, listen

_KEPT_SECONDS = MAX_REPORT_INTERVAL + 60.0
"""So long a kept connection may be idle: longer than any pod is asked to wait."""
_LINGERING_SECONDS = 1.0
_SHUTDOWN_SECONDS = 5.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")


class Server:
    """A server that listens. `port` is the one in use, also where 0 was asked for."""

    def __init__(self, runner: web.AppRunner, listener: Listener) -> None:
        self._runner = runner
        self._listener = listener
        self.port: int = listener.port

    async def close(self) -> None:
        """Take no new connection, let the requests under way end, and close."""
        self._listener.close()
        await self._runner.cleanup()
        self._listener.drop_all()


async def serve(
    routes: list[web.RouteDef],
    host: str,
    port: int,
    bounds: Bounds,
    *,
    most_bytes: int = 1,
    tls: ssl.SSLContext | None = None,
    on_trouble: Callable[[str, str], None] = lambda address, why: None,
) -> Server:
    """Serve until `close()`, on a free port if `port` is 0. A body has at most `most_bytes`.

    `on_trouble` is called with an address, and why a connection of it came to nothing. A connection stays open after a good answer, as far as `bounds` let it, and is closed after any other.

    Raises OSError if the address cannot be had.
    """

    @web.middleware
    async def answer(request: web.Request, handler: _Handler) -> web.StreamResponse:
        listener.spoke(request.protocol)
        response = await _answer(request, handler)
        if response.status != HTTPStatus.OK or not (request.keep_alive and listener.keep(request.protocol)):
            response.force_close()
        return response

    app = web.Application(client_max_size=most_bytes, middlewares=[answer])
    app.add_routes(routes)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_wire_log,
        handle_signals=False,
        keepalive_timeout=_KEPT_SECONDS,
        lingering_time=_LINGERING_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        # A compressed body would be a few bytes here and gigabytes in memory; nobody sends one.
        auto_decompress=False,
    )
    listening = listen(host, port)
    await runner.setup()

    def protocol() -> asyncio.Protocol:
        return runner.server() if runner.server is not None else asyncio.Protocol()

    listener = Listener(listening, protocol, bounds, tls, on_trouble)
    return Server(runner, listener)


async def _answer(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """What was not thought of is answered by 500, and logged by where it happened: a traceback may repeat a token, and fills a log."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    except Exception as error:  # noqa: BLE001 - whatever a stranger may send
        place = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("a request could not be handled: %s at %s:%s", type(error).__name__, place.filename, place.lineno)
        return web.json_response({"error": "the request could not be handled"}, status=500)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether aiohttp complains about us. Its complaints about a peer's bad HTTP repeat headers, and so a token."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_wire_log.addFilter(_is_ours)
