"""Server-side apply, strategic merge and the book of managers, as functions."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.writes.apply import Manager, apply, merge
from devcluster.apiserver.writes.fieldsets import describe, from_fields_v1, to_fields_v1
from devcluster.apiserver.writes.patches import json_patch, merge_patch, strategic_patch

ITEM = {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "integer"}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object", "properties": {}},
        "items": {
            "type": "array",
            "items": ITEM,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-merge-key": "name",
            "x-kubernetes-patch-strategy": "merge",
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "whole": {"type": "array", "items": {"type": "string"}},
        "free": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
ELEMENTS = st.one_of(
    st.from_regex(r"f:[a-z]{1,3}", fullmatch=True),
    st.from_regex(r'k:\{"name":"[a-z]{1,2}"\}', fullmatch=True),
    st.from_regex(r'v:"[a-z]{1,2}"', fullmatch=True),
)


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


@given(st.frozensets(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8))
def test_a_field_set_comes_back_from_managed_fields(fields: frozenset[tuple[str, ...]]) -> None:
    assert from_fields_v1(to_fields_v1(fields)) == fields


def test_a_field_is_written_as_people_read_it() -> None:
    assert describe(("f:spec", 'k:{"name":"a","port":1}', "f:x", 'v:"s"')) == '.spec[name="a",port=1].x[="s"]'


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("ab", "c", "abc"),
        ("abc", "ca", "bca"),
        ("abc", "bd", "abcd"),
        ("abcd", "xdb", "acxdb"),
        ("ab", "xay", "xaby"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
    ],
)
def test_associative_lists_keep_both_orders_as_far_as_they_agree(live: str, config: str, merged: str) -> None:
    result = merge({"items": named(*live)}, {"items": named(*config)}, SCHEMA)

    assert result == {"items": named(*merged)}


def applied(live: dict[str, Any], manager: str, config: dict[str, Any], force: bool = False) -> dict[str, Any]:
    who = Manager(manager, "Apply", "v1")
    return apply(live, {"metadata": {}, **config}, SCHEMA, who, force=force, ignored=())


def test_removing_an_item_leaves_what_others_own_in_it() -> None:
    first = applied({"metadata": {}}, "one", {"items": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]})
    second = applied(first, "two", {"items": [{"name": "a"}]})

    left = applied(second, "one", {"items": []})

    assert left["items"] == [{"name": "a"}]


def test_agreeing_is_no_conflict_and_differing_is_one() -> None:
    first = applied({"metadata": {}}, "one", {"whole": ["a"], "free": {"k": "1"}})
    before = copy.deepcopy(first)

    applied(first, "two", {"whole": ["a"]})
    with pytest.raises(ApiError) as conflict:
        applied(first, "two", {"whole": ["b"], "free": {"k": "2"}})

    assert conflict.value.message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .free.k\n- .whole'
    assert first == before


@pytest.mark.parametrize(
    ("patch", "items"),
    [
        ({"items": [{"name": "b", "value": 9}]}, [{"name": "a", "value": 1}, {"name": "b", "value": 9}]),
        ({"items": [{"name": "a", "$patch": "delete"}]}, [{"name": "b", "value": 2}]),
        ({"items": [{"$patch": "replace"}, {"name": "z"}]}, [{"name": "z"}]),
        ({"items": [{"name": "c"}]}, [{"name": "c"}, {"name": "a", "value": 1}, {"name": "b", "value": 2}]),
        (
            {"$setElementOrder/items": named("b", "a")},
            [{"name": "b", "value": 2}, {"name": "a", "value": 1}],
        ),
    ],
)
def test_a_strategic_patch_merges_items_by_their_key(patch: dict[str, Any], items: list[Any]) -> None:
    obj = {"items": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]}

    assert strategic_patch(obj, patch, SCHEMA) == {"items": items}


def test_a_merge_patch_removes_by_null() -> None:
    assert merge_patch({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": {"e": None}}}) == {"a": {"c": 2, "d": {}}}


def test_a_json_patch_that_does_not_fit_changes_nothing() -> None:
    obj = {"a": 1}

    with pytest.raises(ApiError) as refused:
        json_patch(obj, [{"op": "add", "path": "/b", "value": 2}, {"op": "remove", "path": "/none"}])

    assert (refused.value.code, obj) == (422, {"a": 1})
