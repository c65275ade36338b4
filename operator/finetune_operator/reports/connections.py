"""A listening socket whose connections are bounded before they cost anything: in all, and of each address.

A connection over TLS takes 256 KiB from the moment that asyncio is given it, with or without a handshake, so that the bound has
to be at the accept, and asyncio is given a connection once something was sent on it. Where the bound is reached, the oldest connection of the address that has most goes, and the newest gets in: ours
last milliseconds, and one that is held open is the one that is old. So a crowd of idle connections shuts nobody out.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_BACKLOG = 512
_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """Of one listener."""

    total: int
    """Connections at once."""
    per_address: int
    """Connections of one address at once. All pods of a node may share one, where addresses are translated."""
    patience_seconds: float = 5.0
    """How long the first byte may take, and then a TLS handshake."""


class Listener:
    """Accepts connections on an address until `close()`; `protocol` makes what speaks on each."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        bounds: Bounds,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._socket = listening
        self._protocol = protocol
        self._bounds = bounds
        self._tls = tls
        self._by_address: dict[str, dict[_Connection, None]] = {}
        """The oldest first."""
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for."""
        return int(self._socket.getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections there are, those in the handshake included."""
        return sum(map(len, self._by_address.values()))

    async def close(self) -> None:
        """Take no new connection. Those that are open go on."""
        self._accepting.cancel()
        # The loop must have let go of the descriptor before the next socket gets its number.
        await asyncio.wait([self._accepting])
        self._socket.close()

    def drop_all(self) -> None:
        """End every connection at once."""
        for connection in [each for connections in self._by_address.values() for each in connections]:
            self._drop(connection)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(self._socket)
            except OSError as error:
                # Such as no descriptor left. The connection waits in the backlog, and trying at once would only spin.
                logger.warning("no connection can be accepted now: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._take(accepted, str(peer[0]))

    def _take(self, accepted: socket.socket, address: str) -> None:
        while (surplus := self._one_too_many(address)) is not None:
            self._drop(surplus)
        connection = _Connection(self._protocol, address, self._forget)
        self._by_address.setdefault(address, {})[connection] = None
        task = asyncio.get_running_loop().create_task(self._connect(accepted, connection))
        connection.connecting = task
        # One that was dropped before its first step never closes what it was given.
        task.add_done_callback(lambda _: None if connection.begun else accepted.close())

    def _one_too_many(self, address: str) -> "_Connection | None":
        """The connection that has to go so that this address may have one more; None if there is room."""
        own = self._by_address.get(address, {})
        if len(own) >= self._bounds.per_address:
            return next(iter(own))
        if self.open >= self._bounds.total:
            most: dict[_Connection, None] = max(self._by_address.values(), key=len)
            return next(iter(most))
        return None

    async def _connect(self, accepted: socket.socket, connection: "_Connection") -> None:
        """Let the connection speak once its other side does: until then it costs a socket, and no buffer."""
        seconds = self._bounds.patience_seconds
        try:
            async with asyncio.timeout(seconds):
                await _first_byte(accepted)
            connection.begun = True
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=seconds if self._tls else None
            )
        except OSError as error:  # no TLS, or not in time
            self._forget(connection)
            logger.debug("a connection from %s came to nothing: %s", connection.address, error)
        finally:
            connection.connecting = (
                None  # the task and its frame would keep each other, and the buffers, until a collection
            )

    def _drop(self, connection: "_Connection") -> None:
        self._forget(connection)
        connection.drop()

    def _forget(self, connection: "_Connection") -> None:
        connections = self._by_address.get(connection.address, {})
        connections.pop(connection, None)
        if not connections:
            self._by_address.pop(connection.address, None)


class _Connection(asyncio.Protocol):
    """A connection that is counted; what comes in is for the protocol inside, which is made once the handshake is done."""

    def __init__(
        self, make: Callable[[], asyncio.Protocol], address: str, on_lost: Callable[["_Connection"], None]
    ) -> None:
        self.address = address
        self.connecting: asyncio.Task[None] | None = None
        self.begun = False
        self._make = make
        self._on_lost = on_lost
        self._inside = asyncio.Protocol()
        self._transport: asyncio.Transport | None = None

    def drop(self) -> None:
        """End it, in whichever state it is."""
        if self._transport is not None:
            self._transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inside = self._make()
        self._inside.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self)
        self._transport = None
        self._inside.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inside.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inside.eof_received()

    def pause_writing(self) -> None:
        self._inside.pause_writing()

    def resume_writing(self) -> None:
        self._inside.resume_writing()


async def _first_byte(accepted: socket.socket) -> None:
    """Wait until there is something to read, be it the end."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(accepted, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(accepted)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, on a free port if `port` is 0. Raises OSError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening
