"""What is packed comes back as it was, and takes a fraction of the memory."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.kube.packed import have_same_content, pack, unpack

METADATA = {"namespace": "ns", "name": "a", "uid": "u", "resourceVersion": "7"}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=3))
def test_any_object_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    raw = {**fields, "metadata": {**METADATA, "labels": {"a": "b"}}}

    packed = pack(raw)

    assert unpack(packed) == raw
    assert pack(packed) is packed
    assert unpack(json.loads(json.dumps(packed))) == raw


def test_what_tells_objects_apart_can_be_read_without_unpacking() -> None:
    raw = {"metadata": {**METADATA, "labels": {"a": "b", "c": "d"}, "annotations": {"e": "f"}}, "status": {"x": 1}}

    assert pack(raw, "a")["metadata"] == {**METADATA, "labels": {"a": "b"}}
    assert pack(raw, "z")["metadata"] == METADATA
    assert unpack(raw) is raw


def test_versions_that_differ_in_nothing_else_have_the_same_content() -> None:
    first = {"metadata": METADATA, "status": {"x": 1}}
    later = {"metadata": {**METADATA, "resourceVersion": "8"}, "status": {"x": 1}}
    other = {"metadata": {**METADATA, "resourceVersion": "8"}, "status": {"x": 2}}

    assert have_same_content(pack(first), pack(later))
    assert not have_same_content(pack(first), pack(other))
    assert unpack(pack(later)) == later
