"""Between an operator and its API server: forwards every request, counts the writes, and does to any of them what a fault would."""

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from finetune_operator.kube.request_counts import request_labels

_HOPS = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Fault:
    """What happens to one request in place of an answer."""

    status: int = 0
    """Answered without being forwarded; 0: the connection is closed."""
    headers: dict[str, str] = field(default_factory=dict)
    forwarded: bool = False
    """The API server does what was asked, and its answer is lost."""
    silent: bool = False
    """Nothing is answered and nothing closed."""
    note: Callable[[], None] = lambda: None
    """Called when the fault happens."""


@dataclass(frozen=True)
class Asked:
    """A request of the operator's."""

    verb: str
    resource: str
    names: frozenset[str]
    """Of the objects that it is about: itself, its owners, what an Event is of."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    @property
    def writes(self) -> bool:
        """Whether it changes an object of a job; a review of a token changes none, and the Lease is the operator's own."""
        return self.verb in ("create", "update", "patch", "delete") and self.resource not in ("tokenreviews", "leases")


Plan = Callable[[Asked], Fault | None]
"""Decides what happens to a request; None lets it pass."""


class Proxy:
    """An API server's stand-in at `url`. `plan` can be changed at any time; it is called in the order of arrival."""

    def __init__(self, kubeconfig: Path) -> None:
        server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self._target: str = server["server"]
        self._ssl = _trust(server)
        self.plan: Plan = lambda _: None
        self.lag = 0.0
        """Seconds by which what a watch brings is late."""
        self.lagging: frozenset[str] = frozenset()
        """Resources whose watches are late; all if there are none here."""
        self.asked: list[Asked] = []
        """Every write, in the order of arrival."""
        self.url = ""
        self._open: set[asyncio.Transport] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """Close every connection at once, watches too."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._close_all)

    def kubeconfig(self, original: Path, folder: Path) -> Path:
        """A kubeconfig that leads here, with the credentials of `original`."""
        config = yaml.safe_load(original.read_text())
        config["clusters"][0]["cluster"] = {"server": self.url}
        path = folder / "proxied-kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve in a thread of its own."""
        ready, stop = threading.Event(), threading.Event()

        async def serve() -> None:
            async with self._serving():
                ready.set()
                await asyncio.to_thread(stop.wait)

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=8 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield
            self._close_all()
            await runner.cleanup()

    def _close_all(self) -> None:
        for transport in self._open:
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        self._open.add(transport)
        try:
            return await self._answer(request)
        except (ConnectionError, aiohttp.ClientError):  # Either side is gone, as it often is here.
            transport.abort()
            return web.Response(status=502)
        finally:
            self._open.discard(transport)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = Asked(*request_labels(request.method, request.url), _names(request.path, body))
        if asked.writes:
            self.asked.append(asked)
        fault = self.plan(asked)
        if fault is None:
            late = asked.verb == "watch" and asked.resource in (self.lagging or [asked.resource])
            return await self._forward(request, body, self.lag if late else 0.0)
        if fault.forwarded:
            await (await self._send(request, body)).read()
        fault.note()
        if fault.silent:
            await asyncio.Event().wait()
        if fault.status:
            refusal = {"kind": "Status", "status": "Failure", "code": fault.status, "message": "a fault of the test"}
            return web.json_response(refusal, status=fault.status, headers=fault.headers)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)

    async def _send(self, request: web.Request, body: bytes) -> aiohttp.ClientResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOPS}
        return await self._session.request(
            request.method, self._target + request.path_qs, data=body or None, headers=headers
        )

    async def _forward(self, request: web.Request, body: bytes, late: float) -> web.StreamResponse:
        async with await self._send(request, body) as answer:
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in _HOPS - {"content-encoding"}
            }
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await asyncio.sleep(late)
                await response.write(chunk)
            await response.write_eof()
            return response


def _names(path: str, body: bytes) -> frozenset[str]:
    found = {path.rsplit("/", 1)[-1], *path.split("/")}
    if body:
        raw = json.loads(body)
        metadata = raw.get("metadata") or {}
        found.add(str(metadata.get("name")))
        found.update(owner["name"] for owner in metadata.get("ownerReferences", []))
        found.add(str((raw.get("involvedObject") or {}).get("name")))
    return frozenset(found)


def _trust(server: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if data := server.get("certificate-authority-data"):
        context.load_verify_locations(cadata=base64.b64decode(data).decode())
    return context
