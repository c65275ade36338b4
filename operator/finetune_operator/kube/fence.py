"""A write is checked once more in the moment in which its bytes are handed to the socket.

Between the decision to send a request and its bytes a connection is made, and the event loop turns: a process that is stopped there and goes on
much later would otherwise send what it decided as a leader.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aiohttp import ClientRequest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

from finetune_operator.kube.errors import NotLeading

_MAY_WRITE: ContextVar[Callable[[], float]] = ContextVar("may_write", default=lambda: math.inf)


@contextmanager
def fenced(may_write: Callable[[], float]) -> Iterator[None]:
    """Send the body of no request meanwhile, nor its head, once `may_write` returns 0."""
    before = _MAY_WRITE.set(may_write)
    try:
        yield
    finally:
        _MAY_WRITE.reset(before)


class FencedRequest(ClientRequest):
    """A request of an aiohttp.ClientSession. aiohttp keeps its head back until this is asked for the body."""

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write head and body, or let whoever waits for the answer fail by NotLeading."""
        if _MAY_WRITE.get()() > 0:
            await super().write_bytes(writer, conn, content_length)
        elif conn.protocol is not None:
            conn.protocol.set_exception(NotLeading())
