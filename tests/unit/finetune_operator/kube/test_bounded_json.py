"""Answers are read object by object: what is deep, long or odd in one leaves the others as they are."""

import json
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from cachetools import TTLCache
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.kube import bounded_json
from finetune_operator.kube.bounded_json import UNREADABLE, Unreadable, read_event, read_list, read_object, warn_once

_TEXT = st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', "{[", "]}", "\\\\", "\n", "\x00", "é中\U0001f600"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.fixed_dictionaries(
    {"metadata": st.dictionaries(_TEXT, _TEXT, max_size=3)},
    optional={"kind": _TEXT, "spec": _JSON, "status": _JSON, "data": _JSON, "a[b": _JSON},
)


async def pieces(text: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def document(*items: Any) -> bytes:
    answer = {"kind": "List", "metadata": {"resourceVersion": "10", "continue": ""}, "items": list(items)}
    return json.dumps(answer, ensure_ascii=False).encode()


def deep(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + "1" + closing * levels


def with_spec(name: str, spec: str, **metadata: Any) -> str:
    named = json.dumps({"namespace": "ns", "name": name, "uid": name, **metadata})
    return f'{{"kind": "FineTuneJob", "metadata": {named}, "spec": {spec}, "status": {{"phase": "Running"}}}}'


def listed(*objects: str) -> bytes:
    return f'{{"items": [{",".join(objects)}], "metadata": {{"resourceVersion": "10"}}}}'.encode()


@pytest.mark.slow
@given(st.lists(_OBJECTS, max_size=4), st.booleans())
async def test_a_page_of_small_objects_is_read_as_one_that_is_cut_into_them(items: list[Any], spaced: bool) -> None:
    text = json.dumps(json.loads(document(*items)), separators=None if spaced else (",", ":")).encode()
    with patch.object(bounded_json, "_PAGE_BYTES", 0):
        cut = await read_list(pieces(text, 100))

    assert await read_list(pieces(text, 100)) == cut
    assert [*cut["items"]] == items


async def test_items_of_something_else_in_a_list_are_not_taken_for_its_own() -> None:
    text = b'{"metadata": {"items": [{"a": 1}], "resourceVersion": "10"}, "items": [{"b": {"items": []}}]}'

    assert await read_list(pieces(text, 1000)) == json.loads(text)


@pytest.mark.slow
@given(st.lists(_OBJECTS, max_size=4), st.integers(1, 40))
async def test_any_list_in_any_pieces_is_read_as_it_is(items: list[Any], size: int) -> None:
    text = document(*items)

    assert await read_list(pieces(text, size)) == json.loads(text)


@given(_OBJECTS)
async def test_any_object_and_any_event_are_read_as_they_are(raw: Any) -> None:
    assert await read_object(json.dumps(raw).encode()) == raw
    assert await read_event(json.dumps({"type": "ADDED", "object": raw}).encode()) == {"type": "ADDED", "object": raw}


async def test_the_api_s_own_documents_are_read_as_they_are() -> None:
    verbs = {"name": "finetunejobs/status", "namespaced": True, "verbs": ["get", "patch"], "shortNames": []}
    discovery = {"kind": "APIResourceList", "groupVersion": "finetune.dev/v1alpha1", "resources": [verbs, verbs]}
    bookmark = {"type": "BOOKMARK", "object": {"kind": "FineTuneJob", "metadata": {"resourceVersion": "12"}}}

    assert await read_list(pieces(json.dumps(discovery).encode(), 7)) == discovery
    assert await read_event(json.dumps(bookmark).encode()) == bookmark


@pytest.mark.parametrize("levels", [65, 900, 1200, 9000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_of_an_object_that_is_too_deep_the_rest_is_read_and_the_others_whole(
    levels: int, opening: str, closing: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = with_spec(f"deep-{levels}-{len(opening)}", deep(levels, opening, closing))

    answer = await read_list(pieces(listed(with_spec("before", "{}"), bad, with_spec("after", "{}")), 1000))

    before, broken, after = answer["items"]
    assert (before["spec"], after["spec"]) == ({}, {})
    assert broken["status"] == {"phase": "Running"}
    assert "spec" not in broken
    assert broken[UNREADABLE] == {"spec": f"is nested {levels} deep, and at most 64 is read"}
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        f"FineTuneJob ns/{broken['metadata']['name']}"
    ]


async def test_what_is_as_deep_as_may_be_is_read() -> None:
    answer = await read_list(pieces(listed(with_spec("a", deep(64))), 1000))

    assert answer["items"][0]["spec"] == json.loads(deep(64))


async def test_a_field_that_is_too_long_is_left_out_and_named() -> None:
    long = with_spec("long", json.dumps({"a": "x" * 70_000}))

    answer = await read_list(pieces(listed(long, with_spec("short", '{"a": 1}')), 1000), {"spec": 65_536})

    assert answer["items"][0][UNREADABLE] == {"spec": "has 70009 bytes, and at most 65536 are read"}
    assert answer["items"][1]["spec"] == {"a": 1}


async def test_how_long_a_field_is_counts_in_bytes_in_a_list_as_in_a_watch() -> None:
    long = with_spec("wide", json.dumps({"a": "中" * 25_000}, ensure_ascii=False))

    answer = await read_list(pieces(listed(long), 1000), {"spec": 65_536})
    event = await read_event(f'{{"type": "ADDED", "object": {long}}}'.encode(), {"spec": 65_536})

    assert answer["items"] == [event["object"]]
    assert event["object"][UNREADABLE] == {"spec": "has 75009 bytes, and at most 65536 are read"}


async def test_managed_fields_and_large_annotations_are_not_read_however_deep() -> None:
    fields = [{"fieldsV1": {"f:a": "TOO DEEP"}}]
    raw = with_spec("a", "{}", managedFields=fields, annotations={"a": "x" * 70_000}, labels={"l": "1"})
    raw = raw.replace('"TOO DEEP"', deep(5000, '{"f:a":', "}"))

    assert await read_object(raw.encode()) == {
        "kind": "FineTuneJob",
        "metadata": {"namespace": "ns", "name": "a", "uid": "a", "labels": {"l": "1"}},
        "spec": {},
        "status": {"phase": "Running"},
    }


async def test_the_same_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    line = f'{{"type": "MODIFIED", "object": {with_spec("again", deep(100))}}}'.encode()

    events = [await read_event(line) for _ in range(5)]

    assert all(event and event["type"] == "MODIFIED" for event in events)
    assert len(caplog.records) == 1


def test_thousands_of_objects_that_cannot_be_read_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_json, "_warned", TTLCache(maxsize=1000, ttl=3600))
    for number in range(5000):
        warn_once(f"Pod ns/odd-{number % 2500}", "cannot be read")

    assert len(caplog.records) <= 1000


async def test_a_number_that_python_refuses_takes_its_field_only() -> None:
    raw = await read_object(with_spec("digits", '{"a": ' + "9" * 5000 + "}").encode())

    assert raw["status"] == {"phase": "Running"}
    assert raw[UNREADABLE]["spec"].startswith("cannot be read: Exceeds the limit")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"items": [{"metadata": {}}',
        b"<html>",
        b'"',
        pytest.param(deep(100_000).encode(), marks=pytest.mark.thorough, id="deep"),
    ],
)
async def test_what_is_no_answer_at_all_is_an_error_that_callers_know(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        await read_list(pieces(text, 1000))
    with pytest.raises(ValueError, match=r"."):
        await read_object(text)


async def test_a_status_of_an_error_is_read() -> None:
    status = {"kind": "Status", "code": 410, "message": "too old", "details": {"causes": [{"reason": "x"}]}}

    assert await read_event(json.dumps({"type": "ERROR", "object": status}).encode()) == {
        "type": "ERROR",
        "object": status,
    }


def test_unreadable_is_a_value_error() -> None:
    # The informers and checks know ValueError as what a list may fail with.
    assert issubclass(Unreadable, ValueError)
