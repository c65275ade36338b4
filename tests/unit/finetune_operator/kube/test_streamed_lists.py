"""A list that comes as the begin of a watch, and what becomes of it where the API server cannot do that, or breaks off."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ForbiddenException
from tests.unit.finetune_operator.kube.fake_client import FakeClient, query_of
from tests.unit.finetune_operator.samples import finetunejob, merged

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube import client as client_module
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.pages import whole_list

REFUSED = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden for watch"}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "RequestWatchProgress is disabled"}}


def an_object(name: str, version: int) -> dict[str, Any]:
    return merged(finetunejob(name=name), {"metadata": {"uid": name, "resourceVersion": str(version)}})


def added(name: str, version: int, kind: str = "ADDED") -> dict[str, Any]:
    return {"type": kind, "object": an_object(name, version)}


def end(version: int) -> dict[str, Any]:
    metadata = {"resourceVersion": str(version), "annotations": {"k8s.io/initial-events-end": "true"}}
    return {"type": "BOOKMARK", "object": {"metadata": metadata}}


class Client(FakeClient):
    """An API server that streams these lines, or refuses to, and has a list of one page. `asked` is how each list was asked for."""

    def __init__(self, *lines: dict[str, Any], status: int = 200, of_pages: int = 200) -> None:
        self.lines = lines
        self.status = status
        self.of_pages = of_pages
        self.asked: list[str] = []
        self.closed = 0

    async def call_api(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        query = query_of(url)
        is_stream = query.get("sendInitialEvents") == "true"
        self.asked.append("stream" if is_stream else "page")
        page = {"items": [an_object("of-the-page", 7)], "metadata": {"resourceVersion": "70"}}
        answers = self.lines if is_stream else (page,)
        data = b"".join(json.dumps(each).encode() + b"\n" for each in answers)

        async def read() -> bytes:
            return data

        async def iter_any() -> AsyncIterator[bytes]:
            for begin in range(0, len(data), 1000):
                yield data[begin : begin + 1000]

        def close() -> None:
            self.closed += 1

        response = SimpleNamespace(content=SimpleNamespace(iter_any=iter_any), close=close)
        status = self.status if is_stream else self.of_pages
        return SimpleNamespace(status=status, reason="", data=data, headers={}, read=read, response=response)


def kube(client: Client) -> Kube:
    return Kube(client, qps=1000, burst=1000)  # type: ignore[arg-type]


async def listed(kube: Kube) -> tuple[list[str], str]:
    """Names, with the version of each, and version of a list."""
    items, version = await whole_list(kube.list_to_watch(FINETUNEJOBS, None))
    return [f"{each['name']}@{each['resourceVersion']}" for each in (raw["metadata"] for raw in items)], version


OF_THE_PAGE = (["of-the-page@7"], "70")


async def test_a_list_is_streamed_until_its_last_object_and_has_the_version_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    client = Client(added("a", 3), added("b", 4), added("a", 5, "MODIFIED"), end(50), added("c", 51))

    found = await listed(kube(client))

    assert (found, client.asked, client.closed) == ((["a@5", "b@4"], "50"), ["stream"], 1)


@pytest.mark.parametrize("most", [1, 2, 250], ids="{} a part".format)
async def test_what_is_deleted_while_a_list_is_streamed_is_not_in_it_and_what_comes_in_its_place_is(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", most)
    gone = added("a", 5, "DELETED"), added("unknown", 6, "DELETED"), added("c", 7, "DELETED"), added("c", 8)
    client = Client(added("a", 3), added("b", 4), added("c", 4), *gone, end(50))
    lists = kube(client)

    found = [await listed(lists) for _ in range(2)]

    assert (found, client.asked) == (2 * [(["b@4", "c@8"], "50")], ["stream", "stream"])


async def test_jobs_that_are_deleted_or_not_ours_any_more_while_a_list_is_streamed_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 1)
    not_whole = {"type": "MODIFIED", "object": {"metadata": {"namespace": "team-a", "name": "b"}}}
    lines = added("a", 3), added("b", 4), added("c", 5), added("a", 6, "DELETED"), not_whole, end(50)
    known, changed = FineTuneJobs(lambda _: None, on_listed=lambda key: changed.append(key.name)), list[str]()

    await known.list(kube(Client(*lines)), None)

    assert (changed, [key.name for key in known.all_keys()]) == (["a", "b", "c"], ["c"])


async def test_an_api_server_that_refuses_a_stream_is_not_asked_for_one_again() -> None:
    client = Client(REFUSED, status=422)
    lists = kube(client)

    found = [await listed(lists) for _ in range(2)]

    assert (found, client.asked) == (2 * [OF_THE_PAGE], ["stream", "page", "page"])


@pytest.mark.parametrize("lines", [(GONE,), (), (added("a", 3),)], ids=["its etcd is too old", "empty", "cut short"])
async def test_a_list_whose_stream_comes_to_nothing_is_read_by_pages_and_the_next_is_a_stream_again(
    lines: tuple[dict[str, Any], ...],
) -> None:
    client = Client(*lines)
    lists = kube(client)

    first = await listed(lists)
    client.lines = added("a", 3), end(50)
    second = await listed(lists)

    assert (first, second, client.asked) == (OF_THE_PAGE, (["a@3"], "50"), ["stream", "page", "stream"])


async def test_a_stream_is_asked_for_again_where_pages_fail_as_well() -> None:
    client = Client(added("a", 3), end(50), status=403, of_pages=403)
    lists = kube(client)

    with pytest.raises(ForbiddenException):
        await listed(lists)
    client.status = 200
    found = await listed(lists)

    assert (found, client.asked) == ((["a@3"], "50"), ["stream", "page", "stream"])


async def test_a_stream_is_asked_for_again_of_an_api_server_that_only_had_not_filled_its_cache_yet() -> None:
    client = Client(added("a", 3), end(50), status=429)
    lists = kube(client)

    first = await listed(lists)
    client.status = 200
    second = await listed(lists)

    assert (first, second, client.asked) == (OF_THE_PAGE, (["a@3"], "50"), ["stream", "page", "stream"])


async def test_a_list_of_which_a_part_was_taken_in_is_not_mixed_with_another_and_is_read_by_pages_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 1)
    client = Client(added("a", 3), added("b", 4))
    lists = kube(client)

    with pytest.raises(ValueError, match="the list of finetunejobs is not whole"):
        await listed(lists)
    client.lines = added("a", 3), end(50)
    found = [await listed(lists) for _ in range(2)]

    assert (found, client.asked) == ([OF_THE_PAGE, (["a@3"], "50")], ["stream", "page", "stream"])


async def test_jobs_and_their_children_are_taken_in_from_a_stream_and_one_that_cannot_be_read_harms_no_other() -> None:
    odd = {"type": "ADDED", "object": {"metadata": {"name": "odd"}}}
    lists = kube(Client(added("a", 3), odd, added("b", 4), end(50)))
    known = FineTuneJobs(lambda _: None)
    known.seen(an_object("x", 40))
    informer = Informer(lists, JOBS, label=None, on_change=lambda _: None, resync_seconds=3600)

    version = await known.list(lists, None)
    await informer._list(None)

    assert version == "50"
    assert [key.name for key in known.all_keys()] == ["a", "b"]
    assert [name for name in ("a", "b", "odd") if informer.get("team-a", name)] == ["a", "b"]
    assert known.get(Key("team-a", "x")) is None
