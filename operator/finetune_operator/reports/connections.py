"""A listening socket whose connections are bounded before they cost anything: in all, and of each address.

The bound is at the accept, and a connection costs no more than its socket until something was sent on it. Where the bound is
reached, a connection of the address that has most goes, and the newest gets in: the oldest of those that have not earned their
place, or else the one that was of use longest ago. So a crowd of idle connections shuts nobody out, and takes no kept one.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from finetune_operator.metrics.instruments import CONNECTIONS_CLOSED
from finetune_operator.reports.tls import Tls

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
    kept: float = 0.0
    """Share of both that may stay open between two requests. The rest is for those that come."""
    patience_seconds: float = 5.0
    """How long the first byte may take, then a TLS handshake, and then the head of the first request."""


class Listener:
    """Accepts connections on an address until `close()`; `protocol` makes what speaks on each."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        bounds: Bounds,
        tls: ssl.SSLContext | None,
        on_trouble: Callable[[str, str], None] = lambda address, why: None,
    ) -> None:
        """`on_trouble` is called with an address, and why a connection of it came to nothing."""
        self._on_trouble = on_trouble
        self._socket = listening
        self._protocol = protocol
        self._bounds = bounds
        self._tls = tls
        self._by_address: dict[str, dict[_Connection, None]] = {}
        """The one that was of use longest ago first."""
        self._by_protocol: dict[asyncio.Protocol, _Connection] = {}
        self._kept: Counter[str] = Counter()
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for."""
        return int(self._socket.getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections there are, those in the handshake included."""
        return sum(map(len, self._by_address.values()))

    @property
    def kept(self) -> int:
        """How many of them have earned to stay open."""
        return self._kept.total()

    def spoke(self, protocol: asyncio.Protocol) -> None:
        """Note that the head of a request came on the connection of this protocol."""
        connection = self._by_protocol.get(protocol)
        if connection is not None:
            connection.spoke()

    def keep(self, protocol: asyncio.Protocol) -> bool:
        """Note that the connection of this protocol was of use. Return whether it may stay open for more."""
        connection = self._by_protocol.get(protocol)
        if connection is None or not (connection.kept or self._has_room_to_keep(connection.address)):
            return False
        if not connection.kept:
            connection.kept = True
            self._kept[connection.address] += 1
        connections = self._by_address[connection.address]
        connections[connection] = connections.pop(connection)
        return True

    def _has_room_to_keep(self, address: str) -> bool:
        bounds = self._bounds
        return self.kept < bounds.kept * bounds.total and self._kept[address] < bounds.kept * bounds.per_address

    def close(self) -> None:
        """Take no new connection. Those that are open go on."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket.fileno() >= 0:
            # At once: of a connection that comes now, the loop must not learn.
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def drop_all(self) -> None:
        """End every connection at once."""
        for connection in [each for connections in self._by_address.values() for each in connections]:
            self._drop(connection)

    def _listen(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            accepted, peer = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # Its other side has gone.
        except OSError as error:
            # Such as no descriptor left. The connection waits in the backlog, and trying at once would only spin.
            logger.warning("no connection can be accepted now: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._pause = loop.call_later(_PAUSE_SECONDS, self._listen)
            return
        accepted.setblocking(False)
        self._take(accepted, str(peer[0]))

    def _take(self, accepted: socket.socket, address: str) -> None:
        while (surplus := self._one_too_many(address)) is not None:
            connection, bound = surplus
            CONNECTIONS_CLOSED.labels(bound).inc()
            self._drop(connection)

        def make() -> asyncio.Protocol:
            protocol = self._protocol()
            self._by_protocol[protocol] = connection
            return protocol

        connection = _Connection(make, address, self._forget, self._bounds.patience_seconds)
        self._by_address.setdefault(address, {})[connection] = None
        task = asyncio.get_running_loop().create_task(self._connect(accepted, connection))
        connection.connecting = task
        # One that was dropped before its first step never closes what it was given.
        task.add_done_callback(lambda _: None if connection.begun else accepted.close())

    def _one_too_many(self, address: str) -> "tuple[_Connection, str] | None":
        """The connection that has to go so that this address may have one more, and by which bound; None if there is room."""
        own = self._by_address.get(address, {})
        if len(own) >= self._bounds.per_address:
            return _first_to_go(own), "address"
        if self.open >= self._bounds.total:
            return _first_to_go(max(self._by_address.values(), key=len)), "all"
        return None

    async def _connect(self, accepted: socket.socket, connection: "_Connection") -> None:
        """Let the connection speak once its other side does: until then it costs a socket, and no buffer."""
        patience, loop = self._bounds.patience_seconds, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience):
                await _first_byte(accepted)
            connection.begun = True
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await _shake_hands(self._tls, connection, accepted, patience)
        except OSError as error:  # no TLS, or not in time
            self._forget(connection)
            self._on_trouble(connection.address, _trouble(error))
            logger.debug("a connection from %s came to nothing: %s", connection.address, error)
        except Exception:
            # Its place must not stay taken.
            connection.connecting = None
            self._drop(connection)
            accepted.close()
            raise
        finally:
            connection.connecting = (
                None  # the task and its frame would keep each other, and the buffers, until a collection
            )

    def _drop(self, connection: "_Connection") -> None:
        self._forget(connection)
        connection.drop()

    def _forget(self, connection: "_Connection") -> None:
        connections = self._by_address.get(connection.address, {})
        if connection in connections:
            del connections[connection]
            self._kept[connection.address] -= connection.kept
        if not connections:
            self._by_address.pop(connection.address, None)
            del self._kept[connection.address]
        self._by_protocol.pop(connection.inside, None)


class _Connection(asyncio.Protocol):
    """A connection that is counted; what comes in is for the protocol inside, which is made once the handshake is done."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        address: str,
        on_lost: Callable[["_Connection"], None],
        patience_seconds: float,
    ) -> None:
        self.address = address
        self.connecting: asyncio.Task[None] | None = None
        self.begun = False
        self.kept = False
        self.inside = asyncio.Protocol()
        self._make = make
        self._on_lost = on_lost
        self._patience_seconds = patience_seconds
        self._patience: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def spoke(self) -> None:
        """A request has begun: how long it may take is for its server to say."""
        if self._patience is not None:
            self._patience.cancel()

    def drop(self) -> None:
        """End it, in whichever state it is."""
        if self._transport is not None:
            self._transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._patience = asyncio.get_running_loop().call_later(self._patience_seconds, self._transport.abort)
        self.inside = self._make()
        self.inside.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.spoke()
        self._on_lost(self)
        self._transport = None
        self.inside.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.inside.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inside.eof_received()

    def pause_writing(self) -> None:
        self.inside.pause_writing()

    def resume_writing(self) -> None:
        self.inside.resume_writing()


def _first_to_go(connections: dict[_Connection, None]) -> _Connection:
    """Of one address: one that has not earned its place, or else the one that was of use longest ago."""
    return next((each for each in connections if not each.kept), next(iter(connections)))


def _trouble(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"its last connection failed in the TLS handshake ({error.reason or error})"
    if isinstance(error, TimeoutError):
        return "its last connection was opened, and nothing came on it"
    return "its last connection ended before a report came"


async def _shake_hands(
    context: ssl.SSLContext, inside: asyncio.Protocol, accepted: socket.socket, seconds: float
) -> None:
    """Bring TLS between a socket and a protocol. Raises OSError where the handshake fails or takes longer."""
    tls = Tls(context, inside)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: tls, accepted)
    try:
        async with asyncio.timeout(seconds):
            await tls.ready
    except BaseException:
        transport.abort()
        raise


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
