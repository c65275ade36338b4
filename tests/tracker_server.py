"""Servers of trackers in tests: one in this process, or a tracker's own program. One that comes back has the port of before."""

import json
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import requests

from devcluster.ports import free_ports

Json = dict[str, Any]


class TrackerServer(ABC):
    """The server at `uri`, which is up within the context or between `start` and `stop`."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Return once it answers, at once if it does."""

    @abstractmethod
    def stop(self) -> None:
        """Return once it is gone, at once if it is."""


class InProcess(TrackerServer):
    """One in this process, which answers with JSON."""

    _server: ThreadingHTTPServer | None = None

    @abstractmethod
    def respond(self, path: str, fields: Json, headers: Mapping[str, str]) -> tuple[int, Json]:
        """Return status and body for a request with these fields in its query or body."""

    def start(self) -> None:
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class OwnProgram(TrackerServer):
    """A program that is a server."""

    health: str
    """The path that answers once it is up."""
    ends_by = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Its command line."""

    def environment(self) -> Mapping[str, str] | None:
        """Its variables; None for those of this process."""
        return None

    def start(self) -> None:
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            self.command(), env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            try:
                if requests.get(f"{self.uri}/{self.health}", timeout=60).ok:
                    return
            except requests.ConnectionError:
                assert self._process.poll() is None
                time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self.ends_by)
            self._process.wait()
            self._process = None


def _handler(server: InProcess) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, fields: Json) -> None:
            status, answer = server.respond(urlsplit(self.path).path, fields, dict(self.headers))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
