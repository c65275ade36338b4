"""Watches through outages: what is yielded meanwhile, and when they give up."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, Break, FakeApi, Request, status

from finetune.api import JOBS, Api
from finetune.errors import NoCluster
from finetune.watching import watch_collection, watch_one
from finetune_api.base import JsonObject

pytestmark = pytest.mark.usefixtures("kubeconfig")
DOWN = status(503, "ServiceUnavailable", "no etcd")


def outage(api_server: FakeApi, tries: int) -> None:
    """The watch breaks twice; then the list fails as often as `tries` says, and works again."""
    left = tries

    def listed(_: Request) -> Any:
        nonlocal left
        # The first list is before the outage.
        if api_server.version > 1 and left:
            left -= 1
            return DOWN
        return 200, {"metadata": {"resourceVersion": str(api_server.version)}, "items": [*api_server.jobs.values()]}

    def watch(_: Request) -> Iterator[Any]:
        if api_server.version == 1:
            api_server.job("job", phase="Running")
        if left:
            raise Break
        yield {"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}

    api_server.answers["GET", FTJ] = listed
    api_server.answers["WATCH", FTJ] = watch


async def changes(count: int, **options: Any) -> list[tuple[str, str]]:
    """The first changes: of a job its phase, of LOST the message."""
    api = Api()
    found: list[tuple[str, str]] = []
    async with aclosing(watch_collection(api, JOBS.path("team-a"), {}, **options)) as items:
        async for kind, raw in items:
            found.append((kind, raw.get("message", "") or raw.get("status", {}).get("phase", "")))
            if len(found) == count:
                break
    await api.close()
    return found


async def test_an_outage_is_told_and_what_changed_in_it_once_it_is_over(api_server: FakeApi) -> None:
    api_server.job("job", phase="Pending")
    outage(api_server, 3)

    found = await changes(8)

    assert [kind for kind, _ in found] == ["ADDED", "SYNCED", "LOST", "LOST", "LOST", "LOST", "MODIFIED", "SYNCED"]
    assert [text for kind, text in found if kind == "LOST"][1:] == [
        "the API server cannot answer now (503): no etcd"
    ] * 3
    assert found[6] == ("MODIFIED", "Running")


@pytest.mark.parametrize(("patience", "gives_up"), [(3, True), (math.inf, False)])
async def test_a_watch_gives_up_when_its_patience_is_over(api_server: FakeApi, patience: float, gives_up: bool) -> None:
    api_server.job("job", phase="Pending")
    outage(api_server, 50)

    try:
        found = await changes(55, patience=patience)
    except NoCluster:
        assert gives_up
    else:
        assert (gives_up, found[-1][0]) == (False, "SYNCED")


async def test_a_watch_that_is_cut_once_is_taken_up_where_it_was(api_server: FakeApi) -> None:
    api_server.job("job", phase="Pending")
    cut = False

    def watch(request: Request) -> Iterator[Any]:
        nonlocal cut
        if not cut:
            cut = True
            raise Break
        yield {"type": "MODIFIED", "object": api_server.job("job", phase="Running")}

    api_server.answers["WATCH", FTJ] = watch

    assert await changes(3) == [("ADDED", "Pending"), ("SYNCED", ""), ("MODIFIED", "Running")]
    assert len([each for each in api_server.requests if not each.query.get("watch")]) == 1


async def test_a_watch_that_is_cut_again_and_again_for_being_quiet_is_no_outage(
    api_server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_server.job("job", phase="Pending")
    cuts = 0
    monkeypatch.setattr("finetune.watching.monotonic", lambda: 60.0 * cuts)

    def watch(request: Request) -> Iterator[Any]:
        nonlocal cuts
        if cuts < 3:
            cuts += 1
            raise Break
        yield {"type": "MODIFIED", "object": api_server.job("job", phase="Running")}

    api_server.answers["WATCH", FTJ] = watch

    assert await changes(3) == [("ADDED", "Pending"), ("SYNCED", ""), ("MODIFIED", "Running")]
    assert len([each for each in api_server.requests if not each.query.get("watch")]) == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_a_watch_that_ends_at_once_again_and_again_is_not_asked_for_without_a_pause(
    api_server: FakeApi, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    api_server.job("job", phase="Pending")
    ends, pauses, sleep = 0, [], asyncio.sleep
    too_old = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    def watch(request: Request) -> Iterator[Any]:
        nonlocal ends
        ends += 1
        if ends <= 3:
            yield from [too_old] if gone else []
        else:
            yield {"type": "MODIFIED", "object": api_server.job("job", phase="Running")}

    monkeypatch.setattr("finetune.watching._PAUSES", (0.2, 1.0))
    monkeypatch.setattr("finetune.watching.asyncio.sleep", rest)
    api_server.answers["WATCH", FTJ] = watch

    found = await changes(6 if gone else 3)

    assert found[-1] == ("MODIFIED", "Running")
    assert pauses == [0.2, 0.2, 0.2]


async def test_of_a_long_list_a_page_is_held_and_of_each_object_what_is_to_be_remembered(api_server: FakeApi) -> None:
    one, two, three = (api_server.job(name, phase="Running") for name in ("one", "two", "three"))
    rounds = 0

    def listed(request: Request) -> Any:
        nonlocal rounds
        if request.query.get("continue"):
            return 200, {"metadata": {"resourceVersion": "3"}, "items": [three] if rounds == 1 else []}
        rounds += 1
        return 200, {"metadata": {"resourceVersion": "3", "continue": "next"}, "items": [one, two]}

    api_server.answers["GET", FTJ] = listed
    api_server.answers["WATCH", FTJ] = lambda _: iter([{"type": "ERROR", "object": {"code": 410, "message": "old"}}])
    api = Api()
    found: list[tuple[str, JsonObject]] = []

    watched = watch_collection(api, JOBS.path("team-a"), {}, remember=lambda raw: {"metadata": raw["metadata"]})
    async with aclosing(watched) as items:
        async for change in items:
            found.append(change)
            if len(found) == 6:
                break
    await api.close()

    assert [kind for kind, _ in found] == ["ADDED", "ADDED", "ADDED", "SYNCED", "DELETED", "SYNCED"]
    assert found[4][1] == {"metadata": three["metadata"]}


async def test_of_one_object_an_outage_is_told_too(api_server: FakeApi) -> None:
    api_server.job("job", phase="Pending")
    outage(api_server, 1)
    api = Api()
    kinds = []

    async with aclosing(watch_one(api, JOBS, "team-a", "job", patience=math.inf)) as items:
        async for kind, _ in items:
            kinds.append(kind)
            if len(kinds) == 6:
                break
    await api.close()

    assert kinds == ["MODIFIED", "SYNCED", "LOST", "LOST", "MODIFIED", "SYNCED"]


async def test_an_outage_that_begins_once_the_object_was_read_is_told_and_lasts_no_longer_than_it(
    api_server: FakeApi,
) -> None:
    api_server.job("job", phase="Pending")
    answers = iter([DOWN] * 3)
    api_server.answers["GET", FTJ] = lambda _: next(answers, (200, api_server.listed()))
    api = Api()
    found: list[tuple[str, str]] = []

    async with aclosing(watch_one(api, JOBS, "team-a", "job")) as items:
        async for kind, raw in items:
            found.append((kind, raw.get("message", "")))
            if kind == "SYNCED":
                break
    await api.close()

    lost = ("LOST", "the API server cannot answer now (503): no etcd")
    assert found == [("MODIFIED", ""), lost, lost, ("SYNCED", "")]


async def test_a_list_that_fails_after_its_first_page_is_told_and_read_again(api_server: FakeApi) -> None:
    one, two = api_server.job("one", phase="Running"), api_server.job("two", phase="Pending")
    answers = iter([DOWN] * 2)

    def listed(request: Request) -> Any:
        if request.query.get("continue"):
            return next(answers, (200, {"metadata": {"resourceVersion": "2"}, "items": [two]}))
        return 200, {"metadata": {"resourceVersion": "2", "continue": "next"}, "items": [one]}

    api_server.answers["GET", FTJ] = listed

    found = await changes(4)

    lost = ("LOST", "the API server cannot answer now (503): no etcd")
    assert found == [("ADDED", "Running"), lost, ("ADDED", "Pending"), ("SYNCED", "")]


async def test_credentials_that_are_taken_again_are_watched_with_again(api_server: FakeApi) -> None:
    api_server.job("job", phase="Pending")
    answers = iter([status(401, "Unauthorized", "expired")] * 2)

    def watch(_: Request) -> Any:
        event = {"type": "MODIFIED", "object": {**api_server.jobs["job"], "status": {"phase": "Running"}}}
        return next(answers, iter([event]))

    api_server.answers["WATCH", FTJ] = watch

    found = await changes(4)

    assert found == [("ADDED", "Pending"), ("SYNCED", ""), ("SYNCED", ""), ("MODIFIED", "Running")]
