"""Kopf's connection to the API server reads answers as we do: one object that Python's parser dies of ends nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients.api import iter_jsonlines
from kubernetes.aio.client import Configuration

from finetune_operator.controller.kopf_watch import KopfWatch, Reading, _Life, session
from finetune_operator.kube.packed import PACKED

DEEP = "[" * 3000 + "]" * 3000


def a_job(name: str, spec: str) -> str:
    metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "7", "managedFields": [{"f:a": {}}]}
    return f'{{"kind": "FineTuneJob", "metadata": {json.dumps(metadata)}, "spec": {spec}}}'


JOBS = [
    a_job("good", '{"task": "x"}'),
    a_job("deep", f'{{"a": {DEEP}}}'),
    a_job("large", json.dumps({"a": "x" * 70_000})),
]


def resource(plural: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch"]
    return {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}


FINETUNEJOBS = {
    "kind": "APIResourceList",
    "groupVersion": "finetune.dev/v1alpha1",
    "resources": [resource("finetunejobs", "FineTuneJob")],
}
VERSION = {"groupVersion": "finetune.dev/v1alpha1", "version": "v1alpha1"}
DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [resource("namespaces", "Namespace")]},
    "/apis": {"groups": [{"name": "finetune.dev", "versions": [VERSION], "preferredVersion": VERSION}]},
    "/apis/finetune.dev/v1alpha1": FINETUNEJOBS,
}


async def answer(request: web.Request) -> web.StreamResponse:
    if "refused" in request.path:
        code = int(request.path.rpartition("/")[2])
        return web.json_response({"kind": "Status", "code": code, "reason": "Refused"}, status=code)
    if request.path in DISCOVERY:
        return web.json_response(DISCOVERY[request.path])
    if "watch" not in request.query:
        text = f'{{"items": [{",".join(JOBS)}], "metadata": {{"resourceVersion": "9"}}}}'
        return web.Response(text=text, content_type="application/json")
    if request.path.startswith("/quiet"):
        return web.Response(
            text=json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}) + "\n"
        )
    response = web.StreamResponse()
    await response.prepare(request)
    lines = "".join(
        f'{{"type": "ADDED", "object": {job}}}\n' for job in [*JOBS, '{"no": }', "{}", "[]", JOBS[0]]
    ).encode()
    lines += f'{{"type": "DELETED", "object": {JOBS[0]}}}\n'.encode()
    for start in range(0, len(lines), 10_000):
        await response.write(lines[start : start + 10_000])
    return response


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The URL of a server that answers each GET so."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}"
    await runner.cleanup()


@pytest.fixture
def asked() -> list[str | None]:
    """The namespaces of which a list was asked for."""
    return []


@pytest.fixture
def news() -> list[str | None]:
    """The namespaces whose watch has brought something."""
    return []


@pytest.fixture
def objects() -> list[Any]:
    """The objects that the watch brought, new or changed."""
    return []


@pytest.fixture
async def connection(
    asked: list[str | None], news: list[str | None], objects: list[Any]
) -> AsyncIterator[kopf.AiohttpSession]:
    async def lists(namespace: str | None) -> str:
        asked.append(namespace)
        return "12"

    async with serving(answer) as url:
        made = session(kopf.ConnectionInfo(server=url), Reading(lambda _: True, lists, news.append, objects.append))
        yield made
        await made.aiohttp_session.close()


@pytest.mark.parametrize(("path", "namespace"), [("finetunejobs", None), ("namespaces/team-a/finetunejobs", "team-a")])
async def test_a_list_is_read_elsewhere_and_kopf_begins_where_it_ended(
    connection: kopf.AiohttpSession, asked: list[str | None], path: str, namespace: str | None
) -> None:
    url = f"{connection.server}/apis/finetune.dev/v1alpha1/{path}?limit=1"
    async with connection.aiohttp_session.get(url) as response:
        listed = await response.json()

    assert (listed, asked) == ({"items": [], "metadata": {"resourceVersion": "12"}}, [namespace])


async def test_discovery_is_left_as_it_is(connection: kopf.AiohttpSession) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/apis/finetune.dev/v1alpha1") as response:
        assert await response.json() == FINETUNEJOBS


async def test_a_watch_reports_each_object_past_kopf_and_goes_on(
    connection: kopf.AiohttpSession, news: list[str | None], objects: list[Any]
) -> None:
    url = f"{connection.server}/apis/finetune.dev/v1alpha1/namespaces/ns/finetunejobs?watch=true"
    async with connection.aiohttp_session.get(url) as response:
        events = [json.loads(line) async for line in iter_jsonlines(response.content)]

    assert [raw["metadata"]["name"] for raw in objects] == ["good", "deep", "large", "good"]
    assert all(len(json.dumps(raw)) < 1000 for raw in objects)
    assert set(news) == {"ns"}
    # Kopf has the deletion alone, of which it knows nothing but what it says, and up to where the watch has come.
    *bookmarks, deletion = events
    assert (deletion["type"], deletion["object"]["metadata"]["name"]) == ("DELETED", "good")
    assert all(each == {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}} for each in bookmarks)


async def test_a_version_that_is_known_is_not_packed_again_and_one_of_a_namespace_that_is_not_served_is_left_out() -> (
    None
):
    async def no_list(_: str | None) -> str:
        raise AssertionError

    seen: list[Any] = []
    good = json.loads(JOBS[0])
    del good["metadata"]["managedFields"]
    for serves in (True, False):
        reading = Reading(
            lambda _: serves,  # noqa: B023
            no_list,
            lambda _: None,
            seen.append,
            knows=lambda raw: raw["metadata"]["name"] == "good",
        )
        async with serving(answer) as url:
            made = session(kopf.ConnectionInfo(server=url), reading)
            address = f"{url}/apis/finetune.dev/v1alpha1/namespaces/ns/finetunejobs?watch=true"
            async with made.aiohttp_session.get(address) as response:
                _ = [line async for line in iter_jsonlines(response.content)]
            await made.aiohttp_session.close()

    names = [raw["metadata"]["name"] for raw in seen]
    assert names == ["good", "deep", "large", "good", "good", "good"]
    assert [PACKED in raw for raw in seen] == [False, True, True, False, False, False]


async def test_a_bookmark_is_news_though_nothing_has_changed(
    connection: kopf.AiohttpSession, news: list[str | None]
) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/quiet/finetunejobs?watch=true") as response:
        opened = list(news)
        events = [json.loads(line) async for line in iter_jsonlines(response.content)]

    assert (opened, len(news) > 1, [event["type"] for event in events]) == ([None], True, ["BOOKMARK"])


@pytest.mark.parametrize(("code", "seen"), [(404, 404), (401, 401), (403, 429), (500, 429), (503, 429)])
async def test_a_refusal_is_what_it_was_but_for_those_that_kopf_must_outlast(
    connection: kopf.AiohttpSession, code: int, seen: int
) -> None:
    async with connection.aiohttp_session.get(f"{connection.server}/refused/{code}") as response:
        answer = response.status, await response.json()

    assert answer == (seen, {"kind": "Status", "code": code, "reason": "Refused"})


def gone_mad(status: int, text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An API server that answers each list and watch so."""

    async def answer_so(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type="application/json")

    return answer_so


async def ends_in_an_error(request: web.Request) -> web.StreamResponse:
    """A good list, and a watch with an error for which Kopf ends."""
    if "watch" not in request.query:
        return await answer(request)
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is gone"}}
    return web.Response(text=json.dumps(error) + "\n", content_type="application/json")


MADNESS = {
    "401": gone_mad(401, '{"kind": "Status", "code": 401}'),
    "404": gone_mad(404, '{"kind": "Status", "code": 404}'),
    "a page": gone_mad(200, "<html>welcome"),
    "an error within the watch": ends_in_an_error,
}


@pytest.mark.slow
async def test_whatever_kopf_ends_on_it_begins_again_and_nothing_else_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_operator.controller.kopf_watch._LONGEST_PAUSE_SECONDS", 0.01)

    # At once: at its end Kopf waits for five seconds.
    outlasted = await asyncio.gather(*map(outlasts, MADNESS.values()))

    assert dict(zip(MADNESS, outlasted, strict=True)) == dict.fromkeys(MADNESS, True)


async def outlasts(mad: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> bool:
    """Whether jobs are seen once the API server answers as it should, and no task but Kopf's own was ended."""
    madness, seen = asyncio.Semaphore(2), asyncio.Event()

    async def answers(request: web.Request) -> web.StreamResponse:
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if madness.locked():
            return await answer(request)
        await madness.acquire()
        seen.clear()
        return await mad(request)

    async with serving(answers) as url:
        bystander = asyncio.create_task(asyncio.Event().wait())
        task = asyncio.create_task(watch(url, on_seen=lambda _: seen.set() if madness.locked() else None).run())
        await seen.wait()
        well = not bystander.done() and not task.done()
        for each in (bystander, task):
            each.cancel()
        await asyncio.wait([bystander, task])
    return well


def watch(url: str, on_seen: Callable[[Any], None], on_again: Callable[[], object] = lambda: None) -> KopfWatch:
    async def note() -> None:
        on_again()

    configuration = Configuration()
    configuration.host = url

    async def lists(_: str | None) -> str:
        return "5"

    return KopfWatch(
        configuration,
        [],
        on_seen=on_seen,
        on_gone=lambda _: None,
        on_list=lists,
        on_news=lambda _: None,
        on_again=note,
    )


async def test_a_watch_that_ends_goes_on_from_the_newest_that_it_brought_though_kopf_did_not_get_it() -> None:
    begun: list[str] = []
    again, over, seen = asyncio.Event(), asyncio.Event(), list[str]()

    async def answers(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return await answer(request)
        begun.append(request.query["resourceVersion"])
        if len(begun) > 1:
            again.set()
            await over.wait()
        return web.Response(text=f'{{"type": "MODIFIED", "object": {JOBS[0]}}}\n')

    async with serving(answers) as url:
        task = asyncio.create_task(watch(url, on_seen=lambda raw: seen.append(raw["metadata"]["name"])).run())
        await again.wait()
        task.cancel()
        await asyncio.wait([task])
        over.set()

    assert (begun[:2], seen[:1]) == (["5", "7"], ["good"])


async def test_kopf_that_is_behind_is_told_to_begin_anew() -> None:
    watching, over = asyncio.Event(), asyncio.Event()

    class BeginsAgain(Exception):
        pass

    def again() -> None:
        raise BeginsAgain

    async def answers(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return await answer(request)
        watching.set()
        await over.wait()
        return web.Response()

    async with serving(answers) as url:
        watched = watch(url, on_seen=lambda _: None, on_again=again)
        task = asyncio.create_task(watched.run())
        await watching.wait()

        watched.begin_anew()

        with pytest.raises(BeginsAgain):
            await task
        over.set()


def test_to_end_kopf_in_the_moment_in_which_it_ends_by_itself_fails_nothing() -> None:
    async def no_list(_: str | None) -> str:
        raise AssertionError

    reading = Reading(lambda _: True, no_list, lambda _: None, lambda _: None)
    life = _Life(Configuration(), [], reading, on_gone=lambda _: None)
    life._loop.close()

    life.stop()

    assert not life._ended.done()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", "2"), ("0.4", "1"), ("3600", "30"), ("inf", "30"), ("nan", None), ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)  # fmt: skip
async def test_kopf_sleeps_for_half_a_minute_at_the_most_and_goes_by_its_own_pauses_where_it_is_told_no_seconds(
    header: str, seconds: str | None
) -> None:
    async def later(_: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "code": 429}, status=429, headers={"Retry-After": header})

    async def lists(_: str | None) -> str:
        raise AssertionError("nothing is listed")

    async with serving(later) as url:
        made = session(kopf.ConnectionInfo(server=url), Reading(lambda _: True, lists, lambda _: None, lambda _: None))
        async with made.aiohttp_session.get(f"{url}/apis/finetune.dev/v1alpha1/finetunejobs") as response:
            told = response.headers.get("Retry-After")
        await made.aiohttp_session.close()

    assert told == seconds


@pytest.mark.parametrize("seconds", [3600, "soon"])
async def test_kopf_goes_by_no_seconds_that_only_the_body_of_a_refusal_names(seconds: object) -> None:
    status = {"kind": "Status", "code": 429, "message": "later", "details": {"kind": "x", "retryAfterSeconds": seconds}}

    async def later(_: web.Request) -> web.StreamResponse:
        return web.json_response(status, status=429)

    async def lists(_: str | None) -> str:
        raise AssertionError("nothing is listed")

    async with serving(later) as url:
        made = session(kopf.ConnectionInfo(server=url), Reading(lambda _: True, lists, lambda _: None, lambda _: None))
        async with made.aiohttp_session.get(f"{url}/apis/finetune.dev/v1alpha1/finetunejobs") as response:
            told = await response.json()
        await made.aiohttp_session.close()

    assert told == {**status, "details": {"kind": "x"}}
