"""The cache keeps up with a server that speaks list and watch, through everything that a watch can end with."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.finetune_operator.kube.watched_server import GONE, LABEL, Raw, Server, an_object, event, watching
from tests.unit.finetune_operator.polling import until

from finetune_operator.kube.client import PODS, Kube
from finetune_operator.kube.informer import SILENCE_SECONDS, Informer
from finetune_operator.kube.pages import Page


async def test_a_list_and_then_its_changes_are_known() -> None:
    changes = [
        event("MODIFIED", an_object("one", 11, phase="Running")),
        event("ADDED", an_object("two", 12, job="b")),
        event("DELETED", an_object("one", 13)),
        event("BOOKMARK", {"metadata": {"resourceVersion": "20"}}),
    ]
    server = Server([[an_object("one", 5)]], [changes, []])
    async with watching(server) as (informer, told):
        await until(lambda: len(server.asked) == 3)

        known = (informer.get("ns", "one"), informer.get("ns", "two"), informer.labelled("a"), informer.labelled("b"))

    two = {**an_object("two", 12, job="b")}
    del two["metadata"]["managedFields"]
    assert known == (None, two, [], [two])
    assert told == ["one", "one", "two", "one"]
    assert server.asked[0] == {"labelSelector": LABEL, "limit": "250"}
    assert [each["resourceVersion"] for each in server.asked[1:]] == ["10", "20"]
    assert server.asked[1]["allowWatchBookmarks"] == "true"


async def test_what_went_away_while_no_watch_ran_is_reported_after_the_next_list() -> None:
    lists = [[an_object("one", 5), an_object("two", 6)], [an_object("two", 6), an_object("three", 7)]]
    server = Server(lists, [[GONE], []])
    async with watching(server) as (informer, told):
        await until(lambda: "three" in told)

        known = [informer.get("ns", name) is not None for name in ("one", "two", "three")]

    assert known == [False, True, True]
    assert sorted(told) == ["one", "one", "three", "two"]


async def test_an_outage_of_the_server_is_outlasted() -> None:
    server = Server([500, 503, [an_object("one", 5)]], [])
    async with watching(server) as (informer, told):
        await until(lambda: told == ["one"] and informer.synced.is_set())
        assert informer.silence() < 5


async def test_a_list_comes_now_and_then_by_itself_and_heals_what_a_watch_has_missed() -> None:
    server = Server([[an_object("one", 5), an_object("two", 5)], [an_object("two", 7), an_object("three", 6)]], [])
    async with watching(server, resync_seconds=0.05) as (informer, told):
        await until(lambda: len(told) == 5)

        known = [informer.get("ns", name) is not None for name in ("one", "two", "three")]

    assert (known, sorted(told)) == ([False, True, True], ["one", "one", "three", "two", "two"])


async def test_a_change_of_what_is_not_kept_is_no_news_but_another_version() -> None:
    changes = [an_object("one", 11), an_object("one", 12, phase="Running"), an_object("one", 13, phase="Running")]
    server = Server([[an_object("one", 5)]], [[event("MODIFIED", each) for each in changes], []])
    async with watching(server) as (informer, told):
        await until(lambda: len(server.asked) == 3)
        newest = informer.get("ns", "one")

    assert told == ["one", "one"]
    assert newest is not None
    assert newest["metadata"]["resourceVersion"] == "13"


async def test_a_watch_that_was_cut_goes_on_from_where_it_was_without_a_list() -> None:
    cut = [event("MODIFIED", an_object("one", 11, phase="Running")), "cut"]
    server = Server([[an_object("one", 5)]], [cut, [event("ADDED", an_object("two", 12))], []])
    async with watching(server) as (_, told):
        await until(lambda: len(server.asked) == 4)

    assert told == ["one", "one", "two"]
    assert [each.get("resourceVersion") for each in server.asked] == [None, "10", "11", "12"]


async def test_a_watch_that_was_silent_begins_again_from_where_it_was_and_nothing_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("finetune_operator.kube.informer.SILENCE_SECONDS", 0.05)
    server = Server([[an_object("one", 5)]], [])
    async with watching(server) as (informer, told):
        await until(lambda: len(server.asked) == 4)
        failed = informer._failures

    assert told == ["one"]
    assert [each.get("resourceVersion") for each in server.asked] == [None, "10", "10", "10"]
    assert (failed, caplog.text) == ({None: 0}, "")


async def test_what_is_known_is_as_new_as_the_list_and_later_as_what_a_watch_brings_less_its_silence() -> None:
    times = iter([0.0, 10.0, 11.0, 11.0])
    server = Server([[an_object("one", 5)]], [])
    async with watching(server, clock=lambda: next(times, 500.0)) as (informer, told):
        before = informer.current("ns")
        await until(lambda: told == ["one"] and informer.synced.is_set())
        listed = informer.current("ns")
        informer._note_news(None)

    assert (before, listed, informer.current("ns")) == (-math.inf, 10.0, 500.0 - SILENCE_SECONDS)


@pytest.mark.parametrize("first", ["list", "watch"])
async def test_what_comes_before_its_owner_is_known_is_there_once_it_is(first: str) -> None:
    owners: set[str] = set()
    early = [an_object("one", 5), an_object("gone", 6), an_object("other", 7, job="b")]
    changes = [event("ADDED", each) for each in early] if first == "watch" else []
    changes += [event("DELETED", an_object("gone", 8)), event("MODIFIED", an_object("one", 11, phase="Running"))]
    server = Server([early if first == "list" else []], [changes, []])
    async with watching(server, keep=lambda raw: raw["metadata"]["labels"][LABEL] in owners or None) as (
        informer,
        told,
    ):
        await until(lambda: len(server.asked) == 3)
        before = informer.get("ns", "one"), informer.is_undecided("ns", "one", "one")
        owners.add("a")
        informer.reconsider("a")

        one = informer.get("ns", "one")

    assert (before, told) == ((None, True), ["one"])
    assert one is not None
    assert (one["status"], informer.is_undecided("ns", "one", "one")) == ({"phase": "Running"}, False)


@pytest.mark.parametrize(("phase", "remembered"), [("Failed", True), ("Running", False)])
async def test_how_a_deleted_pod_ended_is_remembered_for_a_while(phase: str, remembered: bool) -> None:
    changes = [event("DELETED", an_object("one", 11, phase=phase))]
    server = Server([[an_object("one", 5)]], [changes, []])
    async with watching(server) as (informer, told):
        await until(lambda: told == ["one", "one"])

        known = informer.get("ns", "one"), [raw["status"]["phase"] for raw in informer.labelled("a")]

    assert known == (None, [phase] if remembered else [])


async def test_each_namespace_has_a_list_and_a_watch_of_its_own() -> None:
    one, two = an_object("one", 5), an_object("two", 6)
    two["metadata"]["namespace"] = "other"
    server = Server({"ns": [[one], []], "other": [[two]]}, [[GONE], [GONE], []])
    async with watching(server, namespaces=("ns", "other")) as (informer, told):
        await until(lambda: len(told) == 3)

        known = informer.get("ns", "one"), informer.get("other", "two"), informer.synced.is_set()

    assert sorted(told) == ["one", "one", "two"]
    assert (known[0], known[1] is not None, known[2]) == (None, True, True)


async def test_a_namespace_that_may_not_be_read_keeps_no_other_back() -> None:
    server = Server({"closed": [403], "ns": [[an_object("one", 5)]]}, [])
    async with watching(server, namespaces=("closed", "ns")) as (informer, told):
        await informer.synced.wait()

        assert (told, informer.silence() < 5) == (["one"], True)


async def test_what_merely_has_our_label_is_neither_kept_nor_reported() -> None:
    changes = [
        event("ADDED", an_object("foreign", 11, ours=False)),
        event("ADDED", an_object("two", 12, ours=True)),
        event("MODIFIED", an_object("one", 13, ours=False)),
        event("DELETED", an_object("foreign", 14, ours=False)),
    ]
    server = Server([[an_object("one", 5, ours=True), an_object("other", 6, ours=False)]], [changes, []])
    async with watching(server, keep=lambda raw: bool(raw["status"]["ours"])) as (informer, told):
        await until(lambda: len(server.asked) == 3)

        known = [informer.get("ns", name) is not None for name in ("one", "other", "foreign", "two")]
        labelled = [raw["metadata"]["name"] for raw in informer.labelled("a")]

    assert known == [False, False, False, True]
    assert labelled == ["two"]
    assert told == ["one", "two", "one"]


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": None},
        {"metadata": {"name": "odd", "resourceVersion": "11"}},
        {"metadata": {"namespace": "ns", "name": "odd", "resourceVersion": "11", "labels": [1]}, "status": {}},
        {"metadata": {"namespace": {}, "name": "odd", "resourceVersion": "11"}, "status": {}},
        an_object("odd", 11, trouble=True),
        [],
        None,
    ],
)
async def test_whatever_one_object_brings_the_watch_of_the_others_goes_on(odd: Any) -> None:
    changes = [event("ADDED", odd), event("MODIFIED", odd), event("DELETED", odd), event("ADDED", an_object("two", 12))]
    server = Server([[odd, an_object("one", 5)]], [changes, []])
    async with watching(server) as (informer, told):
        await until(lambda: "two" in told)

        known = [informer.get("ns", name) is not None for name in ("one", "two")]

    assert known == [True, True]


@pytest.mark.parametrize(
    "answer", [{"kind": "Status"}, {"items": None, "metadata": {}}, [1], {"items": [], "metadata": 1}]
)
async def test_an_answer_that_is_no_list_is_outlasted(answer: Any) -> None:
    server = Server([Raw(answer), [an_object("one", 5)]], [])
    async with watching(server) as (_, told):
        await until(lambda: told == ["one"])


async def test_a_list_that_succeeds_after_one_that_failed_is_told_and_ends_the_pauses_of_others() -> None:
    told, waiting = list[str](), asyncio.Event()

    class Refusing(Kube):
        """Fails the first list."""

        def __init__(self) -> None:
            self.lists = 0

        async def list_to_watch(self, *_: Any, **__: Any) -> AsyncIterator[Page]:
            self.lists += 1
            if self.lists == 1:
                raise OSError("no API server")
            told.append("listed")
            waiting.set()
            yield Page([], "1")

        async def watch(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()
            yield

    informer = Informer(
        Refusing(),
        PODS,
        label=LABEL,
        on_change=lambda _: None,
        resync_seconds=60,
        on_recovery=lambda: told.append("recovered"),
    )
    informer._failures[None] = 20
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(0.01)
    informer.retry()
    await waiting.wait()
    await asyncio.sleep(0)
    task.cancel()

    assert told == ["listed", "recovered"]
