"""Kopf's connection to the API server reads answers as we do: one object that Python's parser dies of ends nothing."""

import json
from collections.abc import AsyncIterator

import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients.api import iter_jsonlines

from finetune_operator.controller.kopf_watch import session
from finetune_operator.kube.bounded_json import UNREADABLE
from finetune_operator.kube.packed import unpack

DEEP = "[" * 3000 + "]" * 3000


def a_job(name: str, spec: str) -> str:
    metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "7", "managedFields": [{"f:a": {}}]}
    return f'{{"kind": "FineTuneJob", "metadata": {json.dumps(metadata)}, "spec": {spec}}}'


JOBS = [
    a_job("good", '{"task": "x"}'),
    a_job("deep", f'{{"a": {DEEP}}}'),
    a_job("large", json.dumps({"a": "x" * 70_000})),
]


DISCOVERY = {
    "kind": "APIResourceList",
    "groupVersion": "finetune.dev/v1alpha1",
    "resources": [
        {"name": "finetunejobs", "kind": "FineTuneJob", "namespaced": True, "verbs": ["get", "list", "watch"]}
    ],
}


async def answer(request: web.Request) -> web.StreamResponse:
    if "refused" in request.path:
        code = int(request.path.rpartition("/")[2])
        return web.json_response({"kind": "Status", "code": code, "reason": "Refused"}, status=code)
    if "apis" in request.path:
        return web.json_response(DISCOVERY)
    if "watch" not in request.query:
        text = f'{{"items": [{",".join(JOBS)}], "metadata": {{"resourceVersion": "9"}}}}'
        return web.Response(text=text, content_type="application/json")
    response = web.StreamResponse()
    await response.prepare(request)
    lines = "".join(
        f'{{"type": "ADDED", "object": {job}}}\n' for job in [*JOBS, '{"no": }', "{}", "[]", JOBS[0]]
    ).encode()
    for start in range(0, len(lines), 10_000):
        await response.write(lines[start : start + 10_000])
    return response


@pytest.fixture
async def connection() -> AsyncIterator[kopf.AiohttpSession]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made = session(kopf.ConnectionInfo(server=f"http://127.0.0.1:{site.port}"))
    yield made
    await made.aiohttp_session.close()
    await runner.cleanup()


async def test_of_a_list_each_object_is_there_and_what_cannot_be_read_is_named(
    connection: kopf.AiohttpSession,
) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/jobs") as response:
        listed = await response.json()

    assert listed["metadata"] == {"resourceVersion": "9"}
    assert [job["metadata"]["name"] for job in listed["items"]] == ["good", "deep", "large"]
    listed["items"] = [unpack(job) for job in listed["items"]]
    assert listed["items"][0]["spec"] == {"task": "x"}
    assert "managedFields" not in listed["items"][0]["metadata"]
    assert [list(job.get(UNREADABLE, ())) for job in listed["items"]] == [[], ["spec"], ["spec"]]


async def test_discovery_is_left_as_it_is(connection: kopf.AiohttpSession) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/apis/finetune.dev/v1alpha1") as response:
        assert await response.json() == DISCOVERY


async def test_a_watch_reports_each_object_and_goes_on(connection: kopf.AiohttpSession) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/jobs?watch=true") as response:
        events = [json.loads(line) async for line in iter_jsonlines(response.content)]

    assert [event["object"]["metadata"]["name"] for event in events] == ["good", "deep", "large", "good"]
    assert all(len(json.dumps(event)) < 1000 for event in events)


@pytest.mark.parametrize(("code", "seen"), [(404, 404), (401, 401), (403, 429), (503, 429)])
async def test_a_refusal_is_what_it_was_but_for_those_that_kopf_must_outlast(
    connection: kopf.AiohttpSession, code: int, seen: int
) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/refused/{code}") as response:
        answer = response.status, await response.json()

    assert answer == (seen, {"kind": "Status", "code": code, "reason": "Refused"})
