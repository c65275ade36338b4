"""Selectors, JSONPath, durations and watches, as functions."""

from typing import Any

import pytest

from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.jsonpath import find
from devcluster.apiserver.reads.selectors import label_selector
from devcluster.apiserver.reads.tables import duration
from devcluster.apiserver.reads.watches import transition
from devcluster.apiserver.store import Event, Store


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".status.phase", ["Running"]),
        ("{.status.phase}", ["Running"]),
        (".status.none.deeper", []),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[-1].type", ["Done"]),
        (r".metadata.labels.example\.com/x", ["y"]),
        (".metadata.labels['example.com/x']", ["y"]),
    ],
)
def test_a_path_finds_values(path: str, found: list[Any]) -> None:
    obj = {
        "metadata": {"labels": {"example.com/x": "y"}},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Done", "count": 2}],
        },
    }

    assert find(path, obj) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(b)]", "..a", ".a[*]", ".a[0:1]", ".a[?(@.b>1)]"])
def test_a_path_outside_the_subset_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        find(path, {"a": [1]})


@pytest.mark.parametrize("text", ["a b", "a=b=c", "a in b"])
def test_a_selector_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        label_selector(text)

    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (660, "11m"), (3600 * 3, "3h"), (86400 * 3 + 3600, "3d1h")],
)
def test_durations_read_as_kubectl_writes_them(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def stored(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def test_a_watch_from_before_the_history_is_told_to_list_again() -> None:
    store = Store(history=2)
    first = store.put("things", ("", "a"), stored("a"))
    for number in range(3):
        store.put("things", ("", "a"), stored("a", number=str(number)))

    with pytest.raises(ApiError) as refused:
        store.subscribe("things", int(first["metadata"]["resourceVersion"]))

    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    assert [event.type for event in store.subscribe("things", store.revision - 2)[1]] == ["MODIFIED", "MODIFIED"]


@pytest.mark.parametrize(
    ("kind", "before", "after", "shown"),
    [
        ("MODIFIED", "in", "in", "MODIFIED"),
        ("MODIFIED", "out", "in", "ADDED"),
        ("MODIFIED", "in", "out", "DELETED"),
        ("MODIFIED", "out", "out", None),
        ("DELETED", "in", "in", "DELETED"),
        ("DELETED", "out", "out", None),
    ],
)
def test_an_event_is_shown_as_the_selection_sees_it(kind: str, before: str, after: str, shown: str | None) -> None:
    old, new = stored("a", where=before), stored("a", where=after)
    new["metadata"]["resourceVersion"] = "7"

    seen = transition(Event(kind, 7, new, old), label_selector("where=in"))

    assert (seen[0] if seen else None) == shown
    assert seen is None or seen[1]["metadata"]["resourceVersion"] == "7"
