"""TLS for a connection in 22 KiB of memory, by the public parts of `ssl`. asyncio's own holds 281 KiB from the accept on."""

import asyncio
import ssl
from contextlib import suppress
from typing import cast

_AT_ONCE = 64 * 1024


class Tls(asyncio.Protocol, asyncio.Transport):
    """The server's side of TLS: a protocol for the transport outside, and the transport for the protocol inside.

    `ready` is done after the handshake, and fails with ssl.SSLError or ConnectionError where there is none. Only from then
    on the protocol inside knows of the connection.
    """

    def __init__(self, context: ssl.SSLContext, inside: asyncio.Protocol) -> None:
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._context = context
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._inside = inside
        self._closing = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What the transport outside calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outside = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self.ready.done():
                self._object.do_handshake()
                self.ready.set_result(None)
                self._inside.connection_made(self)
            while not self._closing:
                if plain := self._object.read(_AT_ONCE):
                    self._inside.data_received(plain)
                else:
                    self.close()  # The other side has said goodbye.
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def eof_received(self) -> None:
        """Let the transport close: nothing more can come, and TLS knows no half-closed connections."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._established:
            self._inside.connection_lost(exc)
        elif not self.ready.done():
            self.ready.set_exception(ConnectionResetError("the connection ended in the handshake"))

    def pause_writing(self) -> None:
        if self._established:
            self._inside.pause_writing()

    def resume_writing(self) -> None:
        if self._established:
            self._inside.resume_writing()

    # What the protocol inside calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        left = memoryview(data)
        while left:
            left = left[self._object.write(left) :]  # A record at a time.
        self._flush()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        with suppress(ssl.SSLError):  # The other side's goodbye is not waited for.
            self._object.unwrap()
        self._flush()
        self._outside.close()

    def abort(self) -> None:
        self._closing = True
        self._outside.abort()

    def is_closing(self) -> bool:
        return self._closing or self._outside.is_closing()

    def pause_reading(self) -> None:
        self._outside.pause_reading()

    def resume_reading(self) -> None:
        self._outside.resume_reading()

    def is_reading(self) -> bool:
        return self._outside.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._outside.get_write_buffer_size()

    def get_extra_info(self, name: str, default: object = None) -> object:
        own = {"sslcontext": self._context, "ssl_object": self._object}
        return own[name] if name in own else self._outside.get_extra_info(name, default)

    @property
    def _established(self) -> bool:
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    def _fail(self, error: ssl.SSLError) -> None:
        self._flush()  # The alert that says why.
        self._closing = True
        if not self.ready.done():
            self.ready.set_exception(error)
        self._outside.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._outside.write(self._outgoing.read())
