"""Server-sent events: what changes in the cluster, as soon as it does, but no faster than a person reads."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from finetune.errors import FineTuneError, NoCluster, NotAllowed, NotFound, NotKnown
from finetune_api.base import JsonObject

logger = logging.getLogger(__name__)

_PAUSE: Final = 0.25
"""Seconds between two events, for which items are gathered."""
_MOST: Final = 1000
"""Items that wait to be sent, and that are sent together."""
_AT_ONCE: Final = 100
"""Items that are made in one go, while nothing else is answered."""
_AGAIN: Final = 1000
"""Milliseconds after which a browser connects again where its connection was cut."""
_PING: Final = 5.0
"""Seconds after which a browser that has gone is missed, where nothing else is sent."""
_CODES: Final[tuple[tuple[type[FineTuneError], int], ...]] = (
    (NotFound, 404),
    (NotAllowed, 403),
    (NotKnown, 401),
    (NoCluster, 503),
)


@dataclass(frozen=True)
class Item:
    """Something to send."""

    key: Hashable
    """Of items of one key that wait to be sent, the newest alone is."""
    show: Callable[[], JsonObject]
    """Make it. Only what is sent is made."""


Items: TypeAlias = AsyncGenerator[Item, None]


def code_of(error: FineTuneError) -> int:
    """Return the HTTP status of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 422)


async def send_events(request: web.Request, items: Items) -> web.StreamResponse:
    """Send the items, gathered into JSON lists, as events `items`.

    At the end of the items comes an event `end`; an error of the cluster is an event `failure` with its code and text.
    """
    waiting = _Waiting()
    async with sse_response(request, ping_interval=_PING) as response:
        reading = asyncio.create_task(waiting.fill(items))
        sending = asyncio.create_task(_send(response, waiting))
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


class _Waiting:
    """What is to be sent: of each key the newest, in the order in which they came. Where it is full, whoever fills it waits."""

    def __init__(self) -> None:
        self._items: dict[Hashable, Item] = {}
        self._changed = asyncio.Condition()
        self._ended = False
        self.failure: FineTuneError | None = None

    async def fill(self, items: Items) -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    await self._put(item)
        except FineTuneError as error:
            self.failure = error
        except Exception:
            logger.exception("a stream of the page broke")
            self.failure = FineTuneError("the page has a fault of its own, which its log shows")
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def _put(self, item: Item) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: item.key in self._items or len(self._items) < _MOST)
            self._items.pop(item.key, None)
            self._items[item.key] = item
            self._changed.notify_all()

    async def take(self) -> list[Item]:
        """Return what is there, once there is something; nothing at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items) or self._ended)
            taken = [*self._items.values()]
            self._items.clear()
            self._changed.notify_all()
        return taken


async def _send(response: EventSourceResponse, waiting: _Waiting) -> None:
    while response.is_connected():
        taken = await waiting.take()
        if not taken:
            break
        made: list[JsonObject] = []
        for at in range(0, len(taken), _AT_ONCE):
            made += [item.show() for item in taken[at : at + _AT_ONCE]]
            await asyncio.sleep(0)
        await response.send(json.dumps(made, ensure_ascii=False), event="items", retry=_AGAIN)
        await asyncio.sleep(_PAUSE)
    if waiting.failure is not None:
        failure = {"code": code_of(waiting.failure), "message": str(waiting.failure)}
        await response.send(json.dumps(failure), event="failure")
    await response.send("{}", event="end")
