"""An API server that lists and watches as a test wrote down, and an informer of its pods."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from finetune_operator.job.parse_children import has_ended
from finetune_operator.kube.client import PODS, Kube
from finetune_operator.kube.informer import Informer

LABEL = "finetune.dev/job-uid"


def an_object(name: str, version: int, job: str = "a", **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": str(version), "labels": {LABEL: job}}
    return {"metadata": {**metadata, "managedFields": [{}]}, "status": status}


def event(kind: str, raw: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": raw}


GONE = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


@dataclass
class Raw:
    """An answer that is sent as it is."""

    answer: Any


class Server:
    """Answers lists and watches from scripts, one after the other; the last watch stays open. `lists` may be by namespace.

    It is too old to stream a list.
    """

    def __init__(self, lists: list[Any] | dict[str, list[Any]], watches: list[list[Any]]) -> None:
        self.lists = lists
        self.watches = watches
        self.asked: list[dict[str, str]] = []
        self.closing = asyncio.Event()

    async def get(self, request: web.Request) -> web.StreamResponse:
        if "sendInitialEvents" in request.query:
            return web.json_response({"message": "sendInitialEvents is forbidden for watch"}, status=422)
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            lists = self.lists[request.match_info["namespace"]] if isinstance(self.lists, dict) else self.lists
            answer = lists.pop(0) if len(lists) > 1 else lists[0]
            if isinstance(answer, int):
                return web.json_response({"message": "not now"}, status=answer)
            if isinstance(answer, Raw):
                return web.json_response(answer.answer)
            return web.json_response({"items": answer, "metadata": {"resourceVersion": "10"}})
        response = web.StreamResponse()
        await response.prepare(request)
        if self.watches:
            # In small pieces, so that an event comes in parts.
            events = self.watches.pop(0)
            text = "".join(json.dumps(each) + "\n" for each in events if each != "cut").encode()
            for start in range(0, len(text), 50):
                await response.write(text[start : start + 50])
            if "cut" in events and request.transport is not None:
                await asyncio.sleep(0.05)
                request.transport.abort()
            if self.watches:
                return response
        await self.closing.wait()
        return response


@asynccontextmanager
async def watching(
    server: Server,
    resync_seconds: float = 60,
    *,
    namespaces: tuple[str, ...] = (),
    keep: Callable[[dict[str, Any]], bool | None] = lambda _: True,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[tuple[Informer, list[str]]]:
    """An informer of pods at work on the server, and the names that it told of."""
    app = web.Application()
    app.router.add_get("/api/v1/pods", server.get)
    app.router.add_get("/api/v1/namespaces/{namespace}/pods", server.get)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{port}"))  # type: ignore[no-untyped-call]
    told: list[str] = []

    def tell(raw: dict[str, Any]) -> None:
        told.append(raw["metadata"]["name"])
        if "trouble" in raw["status"]:
            raise RecursionError

    informer = Informer(
        Kube(client, qps=1000, burst=1000),
        PODS,
        namespaces=namespaces,
        label=LABEL,
        on_change=tell,
        resync_seconds=resync_seconds,
        keep=keep,
        keep_deleted=has_ended,
        clock=clock,
    )
    task = asyncio.create_task(informer.run())
    try:
        yield informer, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()  # type: ignore[no-untyped-call]
        server.closing.set()
        await runner.cleanup()
