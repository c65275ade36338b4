"""HTTP for strangers: an application behind bounded connections, one request a connection, time limits, and no traceback.

Both ports of the operator are served so, that of reports and that of probes: both can be reached by every pod.
"""

import asyncio
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from finetune_operator.reports.connections import Bounds, Listener, listen

_HEAD_TIMEOUT_SECONDS = 5.0
"""For a request's line and headers: aiohttp counts from the connection's begin."""
_LINGERING_SECONDS = 1.0
_SHUTDOWN_SECONDS = 5.0

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
        await self._listener.close()
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
) -> Server:
    """Serve until `close()`, on a free port if `port` is 0. A body has at most `most_bytes`.

    Raises OSError if the address cannot be had.
    """
    app = web.Application(client_max_size=most_bytes, middlewares=[_one_answer])
    app.add_routes(routes)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_wire_log,
        handle_signals=False,
        keepalive_timeout=_HEAD_TIMEOUT_SECONDS,
        lingering_time=_LINGERING_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        # A compressed body would be a few bytes here and gigabytes in memory; nobody sends one.
        auto_decompress=False,
    )
    listening = listen(host, port)
    await runner.setup()

    def protocol() -> asyncio.Protocol:
        return runner.server() if runner.server is not None else asyncio.Protocol()

    return Server(runner, Listener(listening, protocol, bounds, tls))


@web.middleware
async def _one_answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer once and close, as every sender of ours does anyway: none is held open between two requests.

    What was not thought of is answered by 500, and logged by where it happened: a traceback may repeat a token, and fills a log.
    """
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    except Exception as error:  # noqa: BLE001 - whatever a stranger may send
        place = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("a request could not be handled: %s at %s:%s", type(error).__name__, place.filename, place.lineno)
        response = web.json_response({"error": "the request could not be handled"}, status=500)
    response.force_close()
    return response


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether aiohttp complains about us. Its complaints about a peer's bad HTTP repeat headers, and so a token."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_wire_log.addFilter(_is_ours)
