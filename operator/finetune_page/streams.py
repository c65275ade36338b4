"""Server-sent events: what changes in the cluster, as soon as it does, but no faster than a person reads."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from finetune.errors import FineTuneError, NoCluster, NotAllowed, NotFound
from finetune_api.base import JsonObject

_GATHERED: Final = 0.25
"""Seconds for which items are gathered before they are sent together."""
_MOST: Final = 1000
"""Items that are sent together, and that wait to be."""
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
    async with sse_response(request) as response:
        reading = asyncio.create_task(_read(items, queue))
        try:
            with suppress(ConnectionResetError):
                await _send(response, queue)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
    return response


async def _read(items: Items, queue: "asyncio.Queue[JsonObject | FineTuneError | None]") -> None:
    try:
        async with aclosing(items):
            async for item in items:
                await queue.put(item)
        await queue.put(None)
    except FineTuneError as error:
        await queue.put(error)


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
