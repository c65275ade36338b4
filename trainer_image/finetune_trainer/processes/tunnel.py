"""Leads the machines of a run to the store of the first one, and nobody else.

torch's store asks nobody who they are, so it listens on the loopback of the first machine alone. In front of it an entrance
has both sides prove the run's secret before a byte is passed on; the others reach it by an exit on their own loopback.
Whoever does not prove it in time is gone, and keeps nobody waiting meanwhile.
"""

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from finetune_trainer.processes.secret import BYTES, challenge, is_proof, proof

T = TypeVar("T")

logger = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 15.0
"""Long enough for a machine with much else to do; strangers keep nobody out meanwhile."""
_CONNECT_SECONDS = 30.0
"""A name server that does not answer costs 5 s for each of the domains in which a pod looks for a name, before another one is asked."""
ENTER_SECONDS = _CONNECT_SECONDS + _HANDSHAKE_SECONDS
"""So long it may take to reach an entrance and to be let in."""
_MOST_UNPROVEN = 256
"""Connections that have not proven the secret yet; of more the oldest is closed. A machine of the run takes milliseconds."""
_CHUNK_BYTES = 65536
_GREETING = b"finetune-run/1\n"
_ENTERS, _LETS_IN = b"enters", b"lets in"


class Stranger(OSError):
    """The other side does not know the run's secret."""


class Tunnel:
    """Entrances and exits, served by a thread of their own until `close`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._unproven: dict[asyncio.StreamWriter, None] = {}
        self._warned = False
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers: list[asyncio.Server] = []
        threading.Thread(target=self._loop.run_forever, name="tunnel", daemon=True).start()

    def open_entrance(self, port: int, target: int) -> int:
        """Lead whoever proves the secret at `port` of this machine to its loopback's port `target`. Return the port.

        Raises:
            OSError: The port is taken.
        """
        listening = _listen_everywhere(port)

        async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._admit(reader, writer)
            await _join((reader, writer), await asyncio.open_connection("127.0.0.1", target))

        self._run(self._serve(admit, listening))
        return int(listening.getsockname()[1])

    def open_exit(self, host: str, port: int) -> int:
        """Return a port of this machine's loopback that leads through the entrance at `host`:`port`.

        Raises:
            OSError: There is no entrance, or what is there does not know the secret.
        """

        async def probe() -> None:
            _, writer = await self._enter(host, port)
            writer.close()

        async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _join((reader, writer), await self._enter(host, port))

        self._run(probe())
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._run(self._serve(lead, listening))
        return int(listening.getsockname()[1])

    def close(self) -> None:
        """Close all connections. Nothing can be opened afterwards."""
        if self._loop.is_running():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, handle: Any, listening: socket.socket) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if task := asyncio.current_task():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            try:
                await handle(reader, writer)
            except (OSError, EOFError, TimeoutError) as error:
                logger.debug("a connection has ended: %s", error)
            finally:
                writer.close()

        self._servers.append(await asyncio.start_server(connected, sock=listening, backlog=512))

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Return once the other side has proven the secret, and this one to it."""
        self._unproven[writer] = None
        if len(self._unproven) > _MOST_UNPROVEN:
            oldest = next(iter(self._unproven))
            del self._unproven[oldest]
            oldest.transport.abort()
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                own = challenge()
                writer.write(_GREETING + own)
                answer = await reader.readexactly(2 * BYTES)
                theirs, given = answer[:BYTES], answer[BYTES:]
                if not is_proof(given, self._secret, _ENTERS, own, theirs):
                    raise Stranger("it does not know the secret of this run")
                writer.write(proof(self._secret, _LETS_IN, own, theirs))
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            if not self._warned:
                self._warned = True
                logger.warning(
                    "somebody at %s connected and did not prove the secret of this run",
                    writer.get_extra_info("peername"),
                )
            raise
        finally:
            self._unproven.pop(writer, None)

    async def _enter(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an entrance, and prove the secret there once it has been told apart from a stranger."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                greeting = await reader.readexactly(len(_GREETING) + BYTES)
                if not greeting.startswith(_GREETING):
                    raise Stranger("what answers there is no machine of a run")
                theirs, own = greeting[len(_GREETING) :], challenge()
                writer.write(own + proof(self._secret, _ENTERS, theirs, own))
                if not is_proof(await reader.readexactly(BYTES), self._secret, _LETS_IN, theirs, own):
                    raise Stranger("what answers there does not know the secret of this run")
        except EOFError as error:
            writer.close()
            raise Stranger("what answers there hangs up: the secrets of the two machines may differ") from error
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Pass on what comes from either side until one of them ends."""
    both = [asyncio.ensure_future(_pump(one[0], other[1])), asyncio.ensure_future(_pump(other[0], one[1]))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        other[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(_CHUNK_BYTES):
        writer.write(content)
        await writer.drain()


def _listen_everywhere(port: int) -> socket.socket:
    """Return a socket that listens on all addresses, of IPv6 too where this machine has it."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port), backlog=512)
