"""What a store makes of a list that is read slowly, while a watch brings news."""

from collections.abc import AsyncIterator
from typing import Any

from finetune_operator.kube.object_store import ObjectStore
from finetune_operator.kube.pages import Page


def a_pod(name: str, version: int, phase: str = "Pending") -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"phase": phase}}


async def test_a_list_of_the_past_takes_nothing_back_that_a_watch_has_brought() -> None:
    told: list[tuple[str, str]] = []
    store = ObjectStore(
        "pods", label=None, on_change=lambda raw: told.append((raw["metadata"]["name"], raw["status"]["phase"]))
    )
    for name in ("changes", "goes"):
        store.take({"type": "ADDED", "object": a_pod(name, 5)})

    async def past() -> AsyncIterator[Page]:
        store.take({"type": "MODIFIED", "object": a_pod("changes", 11, "Running")})
        store.take({"type": "DELETED", "object": a_pod("goes", 12)})
        store.take({"type": "ADDED", "object": a_pod("comes", 13)})
        yield Page([a_pod("changes", 5), a_pod("goes", 6)], "10")

    await store.compare(past(), None)

    assert told == [
        ("changes", "Pending"),
        ("goes", "Pending"),
        ("changes", "Running"),
        ("goes", "Pending"),
        ("comes", "Pending"),
    ]
    assert [store.uid_of("ns", name) for name in ("changes", "goes", "comes")] == ["changes", None, "comes"]


async def test_a_list_that_is_read_slowly_heals_what_a_watch_has_missed() -> None:
    told: list[str] = []
    store = ObjectStore("pods", label=None, on_change=lambda raw: told.append(raw["metadata"]["name"]))
    for name in ("changes", "goes", "stays"):
        store.take({"type": "ADDED", "object": a_pod(name, 5)})
    told.clear()

    async def present() -> AsyncIterator[Page]:
        yield Page([a_pod("changes", 11, "Running"), a_pod("stays", 5)], "20")
        yield Page([a_pod("comes", 13)], "20")

    await store.compare(present(), None)

    assert told == ["changes", "comes", "goes"]
    assert [store.uid_of("ns", name) for name in ("changes", "goes", "stays", "comes")] == [
        "changes",
        None,
        "stays",
        "comes",
    ]
