"""Server-sent events: what changes in the cluster, as soon as it does, but no faster than a person reads."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from finetune.errors import FineTuneError, NoCluster, NotAllowed, NotFound
from finetune_api.base import JsonObject

logger = logging.getLogger(__name__)

_GATHERED: Final = 0.25
"""Seconds for which items are gathered before they are sent together."""
_MOST: Final = 1000
"""Items that are sent together, and that wait to be."""
_PING: Final = 5.0
"""Seconds after which a browser that has gone is missed, where nothing else is sent."""
_CODES: Final[tuple[tuple[type[FineTuneError], int], ...]] = ((NotFound, 404), (NotAllowed, 403), (NoCluster, 503))

Items: TypeAlias = AsyncGenerator[JsonObject, None]


def code_of(error: FineTuneError) -> int:
    """Return the HTTP status of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 422)


async def send_events(request: web.Request, items: Items) -> web.StreamResponse:
    """Send the items, gathered into JSON lists, as events `items`.

    At the end of the items comes an event `end`; an error of the cluster is an event `failure` with its code and text.
    """
    queue: asyncio.Queue[JsonObject | FineTuneError | None] = asyncio.Queue(_MOST)
    async with sse_response(request, ping_interval=_PING) as response:
        reading = asyncio.create_task(_read(items, queue))
        sending = asyncio.create_task(_send(response, queue))
        # Where nothing changes, nothing is sent, and only the pings tell that the browser has gone.
        leaving = asyncio.create_task(response.wait())
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(reading, sending, leaving)
    return response


async def _end(*tasks: asyncio.Task[None]) -> None:
    for each in tasks:
        each.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        # A browser that leaves, or reads no more, is an OSError.
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            logger.error("a stream of the page broke", exc_info=outcome)


async def _read(items: Items, queue: "asyncio.Queue[JsonObject | FineTuneError | None]") -> None:
    try:
        async with aclosing(items):
            async for item in items:
                await queue.put(item)
        await queue.put(None)
    except FineTuneError as error:
        await queue.put(error)
    except Exception:
        logger.exception("a stream of the page broke")
        await queue.put(FineTuneError("the page has a fault of its own, which its log shows"))


async def _send(response: EventSourceResponse, queue: "asyncio.Queue[JsonObject | FineTuneError | None]") -> None:
    while response.is_connected():
        gathered = [await queue.get()]
        await asyncio.sleep(_GATHERED)
        while not queue.empty() and len(gathered) < _MOST:
            gathered.append(queue.get_nowait())
        items = [each for each in gathered if isinstance(each, dict)]
        if items:
            await response.send(json.dumps(items, ensure_ascii=False), event="items")
        last = gathered[-1]
        if isinstance(last, FineTuneError):
            await response.send(json.dumps({"code": code_of(last), "message": str(last)}), event="failure")
        if not isinstance(last, dict):
            await response.send("{}", event="end")
            return
