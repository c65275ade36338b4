"""What the page asks for: jobs and their changes, one job with its log and Events, and what is done to it."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Final

from aiohttp import web

from finetune.api import CORE, JOBS, PROFILES
from finetune.async_client import AsyncClient, AsyncJob
from finetune.errors import FineTuneError, NotAllowed, NotFound, Refused, made_anew
from finetune.snapshot import read_snapshot
from finetune.watching import watch_collection, watch_one
from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.values import format_time
from finetune_page.access import Access
from finetune_page.streams import Item, Items, code_of, send_events
from finetune_page.views import budgets, comparison_of, detail, log_line, row

ACCESS: Final = web.AppKey("access", Access)
_MOST_COMPARED: Final = 8
_TAIL: Final = 1000
_LONGEST_TAIL: Final = 20_000
"""Lines of the log that a browser can hold."""
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
    """The namespace that holds where none is chosen, and the time, by which ages are told: the browser's clock may be wrong."""
    async with _client(request) as client:
        return web.json_response({"namespace": await client.namespace(), "now": format_time(datetime.now(UTC))})


@routes.get("/api/namespaces")
async def namespaces(request: web.Request) -> web.Response:
    """Names of namespaces to choose from; none where the user may not list them."""
    async with _client(request) as client:
        try:
            found, _ = await client.api.list(f"{CORE}/namespaces", {})
        except (NotAllowed, NotFound):
            found = []
    return web.json_response({"namespaces": [printable(str(each["metadata"]["name"])) for each in found]})


@routes.get("/api/budgets")
async def budgets_of_profiles(request: web.Request) -> web.Response:
    """What each FineTuneProfile gives a namespace for a month; nothing where the user may not list them, and jobs tell it alone."""
    async with _client(request) as client:
        try:
            found, _ = await client.api.list(PROFILES.path(None), {})
        except (NotAllowed, NotFound):
            found = []
    return web.json_response({"budgets": budgets(found)})


@routes.get("/api/jobs")
async def jobs(request: web.Request) -> web.StreamResponse:
    """Rows of the jobs of a namespace, or of all without one, and each change.

    {"synced": true} comes when all of them were sent, {"lost": "why"} when the API server does not answer any more.
    """
    namespace = request.query.get("namespace") or None
    async with _client(request) as client:
        return await send_events(request, _rows(client, namespace))


async def _rows(client: AsyncClient, namespace: str | None) -> Items:
    # The browser tries again for as long as it is open, and so does this.
    path = JOBS.path(namespace)
    async with aclosing(watch_collection(client.api, path, {}, patience=math.inf, remember=_metadata_alone)) as changes:
        async for kind, raw in changes:
            match kind:
                case "SYNCED" | "LOST":
                    yield _connection(kind, raw)
                case "DELETED":
                    yield Item(_uid(raw), partial(_gone, raw))
                case _:
                    yield Item(_uid(raw), partial(_row, raw))


def _row(raw: JsonObject) -> JsonObject:
    return row(read_snapshot(raw))


def _gone(raw: JsonObject) -> JsonObject:
    return {"gone": _uid(raw)}


def _uid(raw: JsonObject) -> str:
    return str((raw.get("metadata") or {}).get("uid", ""))


def _metadata_alone(raw: JsonObject) -> JsonObject:
    return {"metadata": raw.get("metadata")}


def _connection(kind: str, raw: JsonObject) -> Item:
    """Whether what was sent is all there is, or why it may be out of date."""
    return Item("connection", lambda: {"synced": True} if kind == "SYNCED" else {"lost": raw["message"]})


@routes.get("/api/jobs/{namespace}/{name}")
async def job(request: web.Request) -> web.StreamResponse:
    """The job, and each change of it; every item is all of it, but for those that `jobs` has, too."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    async with _client(request) as client:
        return await send_events(request, _details(client, namespace, name))


async def _details(client: AsyncClient, namespace: str, name: str) -> Items:
    async with aclosing(watch_one(client.api, JOBS, namespace, name, patience=math.inf)) as changes:
        async for kind, raw in changes:
            if kind == "MODIFIED":
                yield Item("job", partial(_detail, raw))
            else:
                yield _connection(kind, raw)


def _detail(raw: JsonObject) -> JsonObject:
    return detail(read_snapshot(raw))


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
    """The newest lines of each attempt's log, as many as `tail` says, and all that come, as long as the run goes on."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    asked = request.query.get("tail", "")
    tail = min(int(asked), _LONGEST_TAIL) if asked.isdecimal() and len(asked) < 9 else _TAIL
    async with _client(request) as client:
        return await send_events(request, _log_lines(client, namespace, name, tail, request.app[ACCESS].own))


async def _log_lines(client: AsyncClient, namespace: str, name: str, tail: int, own: bool) -> Items:
    # Within the stream: a browser shows nothing of an answer that is none.
    found = await client.get(name, namespace)
    numbers = count()
    async with aclosing(found.logs(follow=True, tail=tail, from_buckets=own)) as lines:
        async for line in lines:
            yield Item(next(numbers), partial(log_line, line))


@routes.post("/api/jobs/{namespace}/{name}/{action:suspend|resume|rerun|delete}")
async def act(request: web.Request) -> web.Response:
    """Suspend, resume, re-run or delete the job of that `uid`: the one that the browser shows."""
    uid = request.query.get("uid")
    if not uid:
        raise Refused("which job of the name is meant is not said: reload the page")
    async with _job(request) as found:
        if found.snapshot.uid != uid:
            raise made_anew(found.name)
        await getattr(found, request.match_info["action"])()
    return web.json_response({})


@routes.get("/api/comparison")
async def comparison(request: web.Request) -> web.Response:
    """Two to eight jobs beside each other."""
    wanted = request.query.getall("job", [])
    if not 2 <= len(wanted) <= _MOST_COMPARED or any("/" not in each for each in wanted):
        raise Refused("choose two to eight jobs, as namespace/name")
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
