"""Bodies that are deep, large or odd: the API server takes and refuses them as a real one does."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devcluster.testing.api import PARTIAL, Api, eventually

GROUP = "any.example.com"
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"things.{GROUP}"},
    "spec": {
        "group": GROUP,
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Cluster",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": FREE | {"properties": {}}}}
        ],
    },
}
PATH = f"/apis/{GROUP}/v1/things"
few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def things(api: Api) -> Iterator[Api]:
    """The API with a kind in it that takes anything."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api("POST", definitions, CRD).code == 201
    eventually(lambda: api("GET", PATH).code == 200, "the new kind")
    yield api
    api("DELETE", f"{definitions}/things.{GROUP}")


def thing(spec: str) -> str:
    """The body of a thing, whose spec is given as JSON."""
    return f'{{"apiVersion": "{GROUP}/v1", "kind": "Thing", "metadata": {{"generateName": "x-"}}, "spec": {spec}}}'


def deep(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + "1" + closing * levels


def normal(value: Any) -> Any:
    """A value as Go reads and writes it: numbers beyond 64 bits are floats, half of a surrogate pair is U+FFFD."""
    if isinstance(value, dict):
        return {normal(name): normal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(Decimal(repr(value)))
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


_SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
_SCALARS |= st.integers() | st.sampled_from(
    ["\ud800", "\x00", "\U0001f600", "é", "<&>", "\u2028", 2**63, -(2**63), 10**30]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@few
@given(st.dictionaries(st.text(min_size=1, max_size=5), _JSON, max_size=4))
def test_any_value_is_kept_as_go_reads_it(things: Api, spec: dict[str, Any]) -> None:
    made = things("POST", PATH, thing(json.dumps(spec)))

    assert made.code == 201
    assert made.body["spec"] == normal(spec)
    assert things("GET", f"{PATH}/{made.body['metadata']['name']}").body["spec"] == normal(spec)


@pytest.mark.parametrize("levels", [900, 1200, 5000, 9990])
def test_json_is_taken_down_to_ten_thousand_levels(things: Api, levels: int) -> None:
    made = things("POST", PATH, thing(f'{{"a": {deep(levels)}}}'), accept=PARTIAL)

    assert made.code == 201
    assert things("GET", f"{PATH}/{made.body['metadata']['name']}", accept=PARTIAL).code == 200
    assert things("GET", PATH, accept=PARTIAL.replace("Metadata", "MetadataList")).code == 200
    assert things("DELETE", f"{PATH}/{made.body['metadata']['name']}").code == 200


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (deep(10_001), "exceeded max depth"),
        (deep(10_001, '{"a":', "}"), "exceeded max depth"),
        (deep(200_000), "exceeded max depth"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ("-Infinity", "json parse error"),
        ("1e400", "cannot unmarshal number 1e400 into Go value of type float64"),
        ("{}} x", "json parse error"),
        ('{"a": ', "json parse error"),
        ('"\x01"', "json parse error"),
        ("'a'", "json parse error"),
    ],
)
def test_what_is_no_json_or_too_deep_is_a_bad_request(things: Api, spec: str, message: str) -> None:
    refused = things("POST", PATH, thing(spec))

    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
    assert message in refused.message


@pytest.mark.parametrize("body", ["null", "[]", '"x"', "1", ""])
def test_what_is_no_object_is_a_bad_request(things: Api, body: str) -> None:
    assert things("POST", PATH, body).code == 400


def test_bytes_that_are_no_utf_8_are_replaced(things: Api) -> None:
    made = things("POST", PATH, thing('{"a": "x"}').encode().replace(b'"x"', b'"\xff\xfe"'))

    assert (made.code, made.body["spec"]) == (201, {"a": "\ufffd\ufffd"})


@pytest.mark.parametrize(
    ("size", "code", "message"),
    [
        (1_400_000, 201, ""),
        (1_700_000, 500, "etcdserver: request is too large"),
        (2_800_000, 500, "trying to send message larger than max"),
        (3_200_000, 413, "Request entity too large: limit is 3145728"),
    ],
)
def test_an_object_is_as_large_as_etcd_and_a_request_as_the_server_takes(
    things: Api, size: int, code: int, message: str
) -> None:
    answer = things("POST", PATH, thing(json.dumps({"a": "x" * size})))

    assert answer.code == code
    assert message in (answer.message if code > 201 else "")
