"""A list that comes as the begin of a watch, and what becomes of it where the API server cannot do that, or breaks off."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ForbiddenException
from tests.unit.finetune_operator.samples import finetunejob, merged

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube import client as client_module
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, Kube
from finetune_operator.kube.informer import Informer

REFUSED = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden for watch"}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "RequestWatchProgress is disabled"}}


def an_object(name: str, version: int) -> dict[str, Any]:
    return merged(finetunejob(name=name), {"metadata": {"uid": name, "resourceVersion": str(version)}})


def added(name: str, version: int, kind: str = "ADDED") -> dict[str, Any]:
    return {"type": kind, "object": an_object(name, version)}


def end(version: int) -> dict[str, Any]:
    metadata = {"resourceVersion": str(version), "annotations": {"k8s.io/initial-events-end": "true"}}
    return {"type": "BOOKMARK", "object": {"metadata": metadata}}


class Client:
    """An API server that streams these lines, or refuses to, and has a list of one page. `asked` is how each list was asked for."""

    def __init__(self, *lines: dict[str, Any], status: int = 200, of_pages: int = 200) -> None:
        self.lines = lines
        self.status = status
        self.of_pages = of_pages
        self.asked: list[str] = []
        self.closed = 0

    async def param_serialize(
        self, method: str, path: str, **given: Any
    ) -> tuple[str, Any, dict[str, str], None, None]:
        return method, dict(given["query_params"]), {}, None, None

    async def call_api(self, method: str, query: dict[str, str], *_: Any, **__: Any) -> Any:
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


async def everything(kube: Kube) -> tuple[list[str], str]:
    """Names and version of a list."""
    names, version = list[str](), ""
    async for page in kube.everything(FINETUNEJOBS, None):
        names += [raw["metadata"]["name"] for raw in page.items]
        version = page.version
    return names, version


async def test_a_list_is_streamed_until_its_last_object_and_has_the_version_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    client = Client(added("a", 3), added("b", 4), added("a", 5, "MODIFIED"), end(50), added("c", 51))

    found = await everything(kube(client))

    assert (found, client.asked, client.closed) == ((["a", "b", "a"], "50"), ["stream"], 1)


@pytest.mark.parametrize(
    ("lines", "status"),
    [((REFUSED,), 422), ((GONE,), 200), ((), 200), ((added("a", 3), added("b", 4, "DELETED"), end(50)), 200)],
    ids=["too old", "its etcd is too old", "nothing comes", "one is deleted meanwhile"],
)
async def test_a_list_that_cannot_be_streamed_is_read_by_pages_from_then_on(
    lines: tuple[dict[str, Any], ...], status: int
) -> None:
    client = Client(*lines, status=status)
    lists = kube(client)

    found = [await everything(lists) for _ in range(2)]

    assert (found, client.asked) == (2 * [(["of-the-page"], "70")], ["stream", "page", "page"])


async def test_a_stream_is_asked_for_again_where_pages_fail_as_well() -> None:
    client = Client(added("a", 3), end(50), status=403, of_pages=403)
    lists = kube(client)

    with pytest.raises(ForbiddenException):
        await everything(lists)
    client.status = 200
    found = await everything(lists)

    assert (found, client.asked) == ((["a"], "50"), ["stream", "page", "stream"])


async def test_a_stream_is_asked_for_again_of_an_api_server_that_only_had_not_filled_its_cache_yet() -> None:
    client = Client(added("a", 3), end(50), status=429)
    lists = kube(client)

    first = await everything(lists)
    client.status = 200
    second = await everything(lists)

    assert (first, second, client.asked) == ((["of-the-page"], "70"), (["a"], "50"), ["stream", "page", "stream"])


async def test_a_list_of_which_a_part_was_taken_in_is_not_mixed_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 1)
    client = Client(added("a", 3), added("b", 4))
    lists = kube(client)

    with pytest.raises(ValueError, match="the list of finetunejobs is not whole"):
        await everything(lists)
    found = await everything(lists)

    assert (found, client.asked) == ((["of-the-page"], "70"), ["stream", "page"])


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
