"""What is sent by our connections is what the official client's own would send."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from finetune_operator.kube.rest import Rest

MANIFEST: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {}, "annotations": {"text": "Übung \U0001f680 \x07"}},
    "spec": {"numbers": [0, 1.5, 1e-05, 2**53], "none": None, "true": True, "empty": []},
}


async def sent_by(
    connections: type[RESTClientObject], method: str, content_type: str | None, body: Any
) -> tuple[Any, ...]:
    """Method, query, content type and content of the request as a server gets it, and status and content of the answer."""
    came: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        # An empty body is none.
        content = await request.json() if request.can_read_body else None
        came.extend([request.method, request.query_string, request.headers["Content-Type"], content])
        return web.json_response({"got": "it"}, status=409)

    app = web.Application()
    app.router.add_route("*", "/path", answer)
    async with TestServer(app) as server:
        client = connections(Configuration())  # type: ignore[no-untyped-call]
        url, headers = (
            f"{server.make_url('/path')}?fieldManager=us",
            {"Content-Type": content_type} if content_type else {},
        )
        response = await client.request(method, url, headers=headers, body=body, _request_timeout=10.0)  # type: ignore[no-untyped-call]
        came.extend([response.status, await response.read()])
        await client.close()  # type: ignore[no-untyped-call]
    return tuple(came)


@pytest.mark.parametrize(
    ("method", "content_type", "body"),
    [
        ("POST", "application/json", MANIFEST),
        # As the client's own calls are, such as that for a TokenReview.
        ("POST", None, MANIFEST),
        ("PUT", "application/json", MANIFEST),
        ("PATCH", "application/apply-patch+yaml", MANIFEST),
        ("PATCH", "application/merge-patch+json", {}),
        ("DELETE", "application/json", {"preconditions": {"uid": "u"}}),
        ("GET", "application/json", None),
    ],
)
async def test_a_request_and_its_answer_are_as_the_official_clients(
    method: str, content_type: str | None, body: Any
) -> None:
    ours = await sent_by(Rest, method, content_type, body)
    theirs = await sent_by(RESTClientObject, method, content_type, body)

    assert ours == theirs
    assert ours[-2:] == (409, b'{"got": "it"}')


@pytest.mark.parametrize("seconds", [0.05, ClientTimeout(0.05)])
async def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(seconds: Any) -> None:
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/path", hang)
    async with TestServer(app) as server:
        client = Rest(Configuration())  # type: ignore[no-untyped-call]
        with pytest.raises(TimeoutError):
            await client.request("POST", str(server.make_url("/path")), {}, {"a": 1}, _request_timeout=seconds)
        over.set()
        await client.close()  # type: ignore[no-untyped-call]
