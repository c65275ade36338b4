"""CustomResourceDefinitions: which are refused, and what their deletion takes along; alike on the dev cluster and a real one."""

import copy

import pytest
from tests.integration.things import DEFINITIONS, GROUP, SPEC, definition, thing

from devcluster.testing.api import Api, Object, eventually


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"properties": {}}, {"type"}),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, {"properties[a].items"}),
        ({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, {"properties[a].$ref"}),
        (
            {"type": "object", "properties": {"a": {"type": "string", "default": 5}}},
            {"properties[a].default"},
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "slef == 1"}]},
            {"x-kubernetes-validations[0].rule"},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "self.a +"}],
            },
            {"x-kubernetes-validations[0].rule"},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "number", "x-kubernetes-validations": [{"rule": "self == 3"}]}},
            },
            {"properties[a].x-kubernetes-validations[0].rule"},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "self.misspelt == 'x'"}],
            },
            {"x-kubernetes-validations[0].rule"},
        ),
    ],
)
def test_a_definition_must_be_sound(api: Api, spec: Object, fields: set[str]) -> None:
    refused = api("POST", DEFINITIONS, definition("wrongs", copy.deepcopy(spec)))

    prefix = "spec.validation.openAPIV3Schema.properties[spec]."
    assert (refused.code, refused.fields) == (422, {prefix + field for field in fields})


def test_a_definition_takes_its_objects_along(api: Api, namespace: str) -> None:
    path = f"{DEFINITIONS}/passings.{GROUP}"
    passings = f"/apis/{GROUP}/v1/namespaces/{namespace}/passings"
    api("POST", DEFINITIONS, definition("passings", SPEC))
    body = {**thing(), "kind": "Passing"}
    eventually(lambda: api("POST", passings, body).code in (201, 409), "the resource to be served")

    api("DELETE", path)

    eventually(lambda: api("GET", path).code == 404, "the definition to go")
    eventually(lambda: api("GET", passings).code == 404, "the resource to go")
