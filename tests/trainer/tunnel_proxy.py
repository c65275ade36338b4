"""A proxy that tunnels to one server, whatever it is asked for, and notes what that was."""

import base64
import socket
import socketserver
import threading
from contextlib import suppress

PASSWORD = "open-sesame"


class TunnelProxy(socketserver.ThreadingTCPServer):
    """Wants a password. `target` is the port of the server; without one every request is refused."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.target = target
        self.asked_for: list[str] = []
        """Of each request that had the password: `CONNECT host:port` or `GET http://…`."""
        self.url = f"http://finetune:{PASSWORD}@127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Tunnel(socketserver.StreamRequestHandler):
    server: TunnelProxy

    def handle(self) -> None:
        with suppress(OSError):
            self._answer()

    def _answer(self) -> None:
        request = self.rfile.readline().decode().rpartition(" ")[0]
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        expected = base64.b64encode(f"finetune:{PASSWORD}".encode()).decode()
        if headers.get("proxy-authorization") != f"Basic {expected}":
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.server.asked_for.append(request)
        if self.server.target is None or not request.startswith("CONNECT "):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as server:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, self.connection), daemon=True)
            back.start()
            _copy(self.connection, server)
            back.join(10)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
