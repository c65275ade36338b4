"""The kubelet's HTTPS endpoint for container logs, which the API server reads for `kubectl logs`.

It listens on the loopback address without authentication: every user of this machine can read the logs of its pods.
Lines have no time, so that `--timestamps` and `--since` have no effect.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from aiohttp import web

from devcluster.node.container import Container
from devcluster.node.pod import PodWorker
from devcluster.node.process import last_lines
from devcluster.node.sources import HOST_IP

FindPod = Callable[[str, str], PodWorker | None]
"""Look up a pod by namespace and name."""

_POLL_SECONDS = 0.1
_BLOCK = 65536


@asynccontextmanager
async def serve_logs(find: FindPod) -> AsyncIterator[int]:
    """Serve logs while the context lasts; yield the port."""
    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _handler(find))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST_IP, "localhost").configure_cert(context)
    # A client that follows a log must not delay the end of the node.
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST_IP, 0, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _handler(find: FindPod) -> Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]:
    async def handle(request: web.Request) -> web.StreamResponse:
        names = request.match_info
        worker = find(names["namespace"], names["pod"])
        container = worker.container(names["container"]) if worker else None
        if container is None:
            text = f'container "{names["container"]}" in pod "{names["pod"]}" is not on this node'
            return web.Response(status=404, text=text)
        query = request.query
        log = container.log_file(previous=query.get("previous") == "true")
        if log is None:
            return web.Response(status=400, text=_absence(names["pod"], container, query.get("previous") == "true"))
        try:
            tail = int(query["tailLines"]) if "tailLines" in query else None
            limit = int(query["limitBytes"]) if "limitBytes" in query else None
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for block in _read(container, log, tail, follow=query.get("follow") == "true"):
            part = block if limit is None else block[:limit]
            await response.write(part)
            if limit is not None:
                limit -= len(part)
                if limit <= 0:
                    break
        await response.write_eof()
        return response

    return handle  # type: ignore[return-value]


def _absence(pod: str, container: Container, previous: bool) -> str:
    name = container.record.name
    if previous:
        return f'previous terminated container "{name}" in pod "{pod}" not found'
    reason = container.record.state.get("waiting", {}).get("reason", "ContainerCreating")
    return f'container "{name}" in pod "{pod}" is waiting to start: {reason}'


async def _read(container: Container, log: Path, tail: int | None, *, follow: bool) -> AsyncIterator[bytes]:
    """Yield the log from its beginning, or its last lines; with `follow` also what is added until the container ends."""
    with log.open("rb") as stream:
        if tail is not None:
            stream.seek(-len(last_lines(log, tail)), os.SEEK_END)
        while True:
            # Checked before reading, so that output until the end is read once more after it.
            is_live = follow and container.record.is_running
            while block := stream.read(_BLOCK):
                yield block
            if not is_live:
                return
            await asyncio.sleep(_POLL_SECONDS)
