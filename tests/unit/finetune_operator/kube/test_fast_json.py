"""The quick way to read and write JSON gives what the slow one does, whatever comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.kube import fast_json

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert fast_json.loads(fast_json.dumps(value)) == value


@given(VALUES, st.booleans())
def test_what_json_writes_is_read_as_json_reads_it(value: object, escaped: bool) -> None:
    data = json.dumps(value, ensure_ascii=escaped).encode(errors="surrogatepass")

    assert fast_json.loads(data) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        b'{"half a pair": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 300 + b"]" * 300,
        b"[1e999, -0, -0.0, 1e-400, 123456789012345678901234567890, 0.1]",
        b'{"controls": "\\u0000\\n\x7f"}',
    ],
)
def test_odd_documents_are_read_as_json_reads_them(data: bytes) -> None:
    assert repr(fast_json.loads(data)) == repr(json.loads(data))


@pytest.mark.parametrize("data", [b"", b"{", b"{} {}", b'{"a": "\x01"}', b"1" * 5000, b"\xff", b"{'a': 1}"])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
        fast_json.loads(data)
