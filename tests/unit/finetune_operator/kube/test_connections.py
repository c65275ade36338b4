"""Watches, of which each has a connection for good, keep no other request waiting for one."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from finetune_operator.kube import client as client_module
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, Kube, connect

NAMESPACES = 110
"""Each with a watch. The official client has a hundred connections, if it is not told otherwise."""


async def test_however_many_namespaces_are_watched_a_request_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    over, open_now = asyncio.Event(), asyncio.Semaphore(0)

    async def watch(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await over.wait()
        return answer

    async def get(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "found"}})

    async def follow(kube: Kube, namespace: str) -> None:
        async for _ in kube.watch(JOBS, namespace, "1", seconds=600, on_open=open_now.release):
            pass

    app = web.Application()
    app.router.add_get("/apis/batch/v1/namespaces/{namespace}/jobs", watch)
    app.router.add_get("/api/v1/namespaces/{namespace}/configmaps/{name}", get)
    monkeypatch.setattr(client_module.config, "load_incluster_config", lambda: None)
    async with TestServer(app) as server, asyncio.timeout(60):
        client = await connect()
        client.configuration.host = str(server.make_url("")).rstrip("/")
        kube = Kube(client, qps=1000, burst=1000)
        async with asyncio.TaskGroup() as group:
            for number in range(NAMESPACES):
                group.create_task(follow(kube, f"team-{number}"))
            for _ in range(NAMESPACES):
                await open_now.acquire()
            found = await kube.get(CONFIG_MAPS, "team-0", "found")
            over.set()
        await client.close()

    assert found == {"metadata": {"name": "found"}}
