"""A list that is read slowly, of which the API server has forgotten the begin before its end is read."""

import json
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException
from tests.unit.finetune_operator.kube.fake_client import FakeClient, query_of
from tests.unit.finetune_operator.samples import finetunejob, merged

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.object_store import ObjectStore
from finetune_operator.kube.pages import Page

REST = {"kind": "Status", "code": 410, "reason": "Expired", "metadata": {"continue": "the rest as it is now"}}
NO_REST = {**REST, "metadata": {}}


class Client(FakeClient):
    """Answers each list by its token: a list with its version, or a refusal with 410. `asked` are the tokens that came."""

    def __init__(self, answers: Mapping[str, dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def call_api(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        query = query_of(url)
        self.asked.append(query.get("continue", ""))
        answer = self.answers[self.asked[-1]]
        data = json.dumps(answer).encode()

        async def read() -> bytes:
            return data

        async def iter_any() -> AsyncIterator[bytes]:
            yield data

        status = answer.get("code", 200)
        response = SimpleNamespace(content=SimpleNamespace(iter_any=iter_any), close=lambda: None)
        return SimpleNamespace(status=status, reason="", data=data, headers={}, read=read, response=response)


def page(*items: dict[str, Any], version: int, token: str = "") -> dict[str, Any]:
    return {"items": items, "metadata": {"resourceVersion": str(version), "continue": token}}


def an_object(name: str, version: int) -> dict[str, Any]:
    return merged(finetunejob(name=name), {"metadata": {"uid": name, "resourceVersion": str(version)}})


FORGOTTEN = {
    "": page(an_object("b", 5), version=50, token="second"),
    "second": REST,
    "the rest as it is now": page(an_object("y", 60), version=70, token="last"),
    "last": page(an_object("z", 6), version=70),
}
"""At version 50 there were b and y, and more to come; at 70 y is another version, and `a` is new, which the first page cannot show."""


def kube(client: Client) -> Kube:
    return Kube(client, qps=1000, burst=1000)  # type: ignore[arg-type]


async def test_jobs_are_compared_to_the_end_of_such_a_list() -> None:
    client = Client(FORGOTTEN)
    known = FineTuneJobs(lambda _: None)
    for each in (an_object("a", 55), an_object("b", 4), an_object("c", 5), an_object("x", 40), an_object("y", 40)):
        known.seen(each)

    await known.compare(kube(client), None)

    entries = {key: known.get(Key("team-a", key)) for key in ("a", "b", "c", "x", "y", "z")}
    versions = {key: entry and entry.raw["metadata"]["resourceVersion"] for key, entry in entries.items()}
    assert versions == {"a": "55", "b": "5", "c": None, "x": None, "y": "60", "z": "6"}
    assert client.asked == [*FORGOTTEN]


async def test_children_are_compared_to_the_end_of_such_a_list() -> None:
    store = ObjectStore("jobs", label=None, on_change=lambda _: None)
    for each in (an_object("a", 55), an_object("b", 4), an_object("x", 40)):
        store.take({"type": "ADDED", "object": each})

    await store.compare(kube(Client(FORGOTTEN)).pages(JOBS, None, store.read), None)

    assert [name for name in "abxyz" if store.get("team-a", name)] == ["a", "b", "y", "z"]


async def test_what_the_end_of_such_a_list_shows_is_not_taken_back_by_the_watch_that_goes_on_from_its_begin() -> None:
    informer = Informer(kube(Client(FORGOTTEN)), JOBS, label=None, on_change=lambda _: None, resync_seconds=3600)
    await informer._list(None)
    former = merged(an_object("y", 56), {"metadata": {"uid": "the y before"}})

    informer.take({"type": "MODIFIED", "object": an_object("y", 55)})
    informer.take({"type": "DELETED", "object": former})
    y = informer.get("team-a", "y")
    informer.take({"type": "DELETED", "object": an_object("y", 71)})

    assert y == an_object("y", 60)
    assert [name for name in "byz" if informer.get("team-a", name)] == ["b", "z"]


async def test_what_a_list_shows_to_be_gone_does_not_come_again_by_a_comparison_that_began_before() -> None:
    store = ObjectStore("jobs", label=None, on_change=lambda _: None)
    store.take({"type": "ADDED", "object": an_object("a", 4)})

    async def pages() -> AsyncIterator[Page]:
        yield Page([], "50")
        await store.replace([], None)
        yield Page([store.read(an_object("a", 4)) or {}], "50")

    await store.compare(pages(), None)

    assert store.get("team-a", "a") is None


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({**FORGOTTEN, "second": NO_REST}, ["", "second"]),
        ({**FORGOTTEN, "the rest as it is now": REST}, ["", "second", "the rest as it is now"]),
        ({"": REST}, [""]),
    ],
    ids=["the server gives no rest", "the rest is forgotten at once", "a list that has not begun"],
)
async def test_what_cannot_be_gone_on_with_fails(answers: dict[str, Any], asked: list[str]) -> None:
    client = Client(answers)

    with pytest.raises(ApiException) as caught:
        await kube(client).list(FINETUNEJOBS, None)

    assert (caught.value.status, client.asked) == (410, asked)
