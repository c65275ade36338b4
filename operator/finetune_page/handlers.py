"""What the page asks for: jobs and their changes, one job with its log and Events, and what is done to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from aiohttp import web

from finetune.api import JOBS
from finetune.async_client import AsyncClient, AsyncJob
from finetune.errors import FineTuneError, NotAllowed, Refused
from finetune.snapshot import read_snapshot
from finetune.watching import watch_collection, watch_object
from finetune_page.access import Access
from finetune_page.streams import Items, code_of, send_events
from finetune_page.views import comparison_of, detail, row

ACCESS: Final = web.AppKey("access", Access)
_MOST_COMPARED: Final = 8
_VERBS: Final = {"suspend": "patch", "resume": "patch", "rerun": "patch", "delete": "delete"}
"""What can be done to a job, and the right that it takes."""

routes = web.RouteTableDef()


@web.middleware
async def errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer an error of the cluster with its code and text."""
    try:
        response: web.StreamResponse = await handler(request)
    except FineTuneError as error:
        return web.json_response({"message": str(error)}, status=code_of(error))
    return response


@routes.get("/api/me")
async def me(request: web.Request) -> web.Response:
    """The namespace that holds where none is chosen."""
    async with _client(request) as client:
        return web.json_response({"namespace": await client.namespace()})


@routes.get("/api/jobs")
async def jobs(request: web.Request) -> web.StreamResponse:
    """Rows of the jobs of a namespace, or of all without one, and each change; {"synced": true} when all of them were sent."""
    namespace = request.query.get("namespace") or None
    async with _client(request) as client:
        return await send_events(request, _rows(client, namespace))


async def _rows(client: AsyncClient, namespace: str | None) -> Items:
    async with aclosing(watch_collection(client.api, JOBS.path(namespace), {})) as changes:
        async for kind, raw in changes:
            if kind == "SYNCED":
                yield {"synced": True}
            elif kind == "DELETED":
                yield {"gone": read_snapshot(raw).uid}
            else:
                yield row(read_snapshot(raw))


@routes.get("/api/jobs/{namespace}/{name}")
async def job(request: web.Request) -> web.StreamResponse:
    """The job, and each change of it; every item is all of it."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    async with _client(request) as client:
        return await send_events(request, _details(client, namespace, name))


async def _details(client: AsyncClient, namespace: str, name: str) -> Items:
    async with aclosing(watch_object(client.api, JOBS, namespace, name)) as changes:
        async for raw in changes:
            yield detail(read_snapshot(raw))


@routes.get("/api/jobs/{namespace}/{name}/explanation")
async def explanation(request: web.Request) -> web.Response:
    """The card: why the job is as it is."""
    async with _job(request) as found:
        return web.json_response((await found.explain()).to_wire())


@routes.get("/api/jobs/{namespace}/{name}/rights")
async def rights(request: web.Request) -> web.Response:
    """Which of the buttons the user's rights allow."""
    async with _client(request) as client:
        allowed = {
            verb: await client.may(verb, request.match_info["name"], request.match_info["namespace"])
            for verb in sorted(set(_VERBS.values()))
        }
    return web.json_response({action: allowed[verb] for action, verb in _VERBS.items()})


@routes.get("/api/jobs/{namespace}/{name}/events")
async def events(request: web.Request) -> web.Response:
    """The Events about the job and its pods, the newest first."""
    async with _job(request) as found:
        try:
            items = [each.to_wire() for each in await found.events()]
        except NotAllowed as error:
            return web.json_response({"events": [], "notice": str(error)})
    return web.json_response({"events": items})


@routes.get("/api/jobs/{namespace}/{name}/log")
async def log(request: web.Request) -> web.StreamResponse:
    """Each line of the log, of every attempt, as long as the run goes on."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    async with _client(request) as client:
        return await send_events(request, _log_lines(client, namespace, name))


async def _log_lines(client: AsyncClient, namespace: str, name: str) -> Items:
    # Within the stream: a browser shows nothing of an answer that is none.
    found = await client.get(name, namespace)
    async with aclosing(found.logs(follow=True)) as lines:
        async for line in lines:
            yield {"text": line.text, "pod": line.pod}


@routes.post("/api/jobs/{namespace}/{name}/{action:suspend|resume|rerun|delete}")
async def act(request: web.Request) -> web.Response:
    """Suspend, resume, re-run or delete the job."""
    async with _job(request) as found:
        await getattr(found, request.match_info["action"])()
    return web.json_response({})


@routes.get("/api/comparison")
async def comparison(request: web.Request) -> web.Response:
    """Two to eight jobs beside each other."""
    wanted = request.query.getall("job", [])
    if not 2 <= len(wanted) <= _MOST_COMPARED or any("/" not in each for each in wanted):
        raise Refused(f"choose two to {_MOST_COMPARED} jobs, as namespace/name")
    async with _client(request) as client:
        found = await asyncio.gather(*(_get(client, each) for each in wanted))
    snapshots = [each.snapshot for each in found]
    return web.json_response(comparison_of(snapshots))


async def _get(client: AsyncClient, place: str) -> AsyncJob:
    namespace, _, name = place.partition("/")
    return await client.get(name, namespace)


@asynccontextmanager
async def _client(request: web.Request) -> AsyncIterator[AsyncClient]:
    async with request.app[ACCESS].client(request) as client:
        yield client


@asynccontextmanager
async def _job(request: web.Request) -> AsyncIterator[AsyncJob]:
    async with _client(request) as client:
        yield await client.get(request.match_info["name"], request.match_info["namespace"])
