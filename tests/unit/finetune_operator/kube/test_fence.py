"""A write of who does not lead any more does not leave, were it decided on long before."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from finetune_operator.kube import client as client_module
from finetune_operator.kube.client import JOBS, Kube, connect
from finetune_operator.kube.errors import NotLeading

MANIFEST = {"metadata": {"namespace": "ns", "name": "a", "resourceVersion": "1"}, "status": {}}
WRITES: dict[str, Callable[[Kube], Any]] = {
    "create": lambda kube: kube.create(JOBS, MANIFEST),
    "apply": lambda kube: kube.apply(JOBS, MANIFEST),
    "merge": lambda kube: kube.merge(JOBS, "ns", "a", {}),
    "replace": lambda kube: kube.replace(JOBS, MANIFEST),
    "replace_status": lambda kube: kube.replace_status(JOBS, MANIFEST),
    "delete": lambda kube: kube.delete(JOBS, "ns", "a", "uid"),
}


@asynccontextmanager
async def api(monkeypatch: pytest.MonkeyPatch, may_write: Callable[[], float]) -> AsyncIterator[tuple[Kube, list[str]]]:
    """An operator's way to an API server, and the methods of the requests that came there."""
    came: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(request.method)
        return web.json_response({"metadata": {"name": "a"}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    monkeypatch.setattr(client_module.config, "load_incluster_config", lambda: None)
    async with TestServer(app) as server:
        client = await connect()
        client.configuration.host = str(server.make_url("")).rstrip("/")
        yield Kube(client, qps=1000, burst=1000, may_write=may_write), came
        await client.close()


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_whose_lease_ends_between_its_decision_and_its_first_byte_never_leaves(
    monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    left = iter([5.0])

    async with api(monkeypatch, lambda: next(left, 0.0)) as (kube, came):
        with pytest.raises(NotLeading):
            await WRITES[write](kube)
        await kube.get(JOBS, "ns", "a")

    assert came == ["GET"]


async def test_every_write_of_a_leader_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(monkeypatch, lambda: 5.0) as (kube, came):
        for write in WRITES.values():
            await write(kube)

    assert came == ["POST", "PATCH", "PATCH", "PUT", "PUT", "DELETE"]
