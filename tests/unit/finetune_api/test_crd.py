"""The CRD that is generated from the pydantic models."""

from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from finetune_api.crd import NotStructural, custom_resource_definition, profile_definition, structural
from finetune_api.v1alpha1 import FineTuneJob


class Inner(BaseModel):
    size: int = Field(3, ge=1, lt=10)
    names: list[str] = Field([], max_length=4)


class Outer(BaseModel):
    """A page."""

    title: str = Field(max_length=8, description="Its title.")
    inner: Inner = Inner()
    maybe: Inner | None = None
    share: float = Field(0.5, gt=0)
    anything: dict[str, Any] = {}


class Colour(Enum):
    RED = "red"


def test_a_model_becomes_a_structural_schema_with_defaults_of_sections_inlined() -> None:
    inner = {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 10, "exclusiveMaximum": True, "default": 3},
            "names": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
        },
    }

    assert structural(Outer.model_json_schema()) == {
        "type": "object",
        "description": "A page.",
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "maxLength": 8, "description": "Its title."},
            "inner": {**inner, "default": {"size": 3}},
            "maybe": inner,
            "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "default": 0.5},
            "anything": {"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True}},
        },
    }


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (
            {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}},
            ".a: use optional",
        ),
        ({"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "base64"}}}, "contentEncoding"),
        ({"type": "object", "patternProperties": {"^a": {"type": "string"}}}, "patternProperties"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "prefixItems"),
    ],
)
def test_what_a_crd_cannot_hold_is_an_error_that_names_it(schema: dict[str, Any], complaint: str) -> None:
    with pytest.raises(NotStructural, match=complaint):
        structural(schema)


_TYPES = st.sampled_from([str, int, float, bool, Inner, Colour, str | None, Inner | None, list[int], dict[str, str]])
_ALLOWED = {
    "type", "description", "format", "enum", "pattern", "required", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "default",
    "properties", "items", "additionalProperties", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*schema.get("properties", {}).values()]
    below += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return [schema, *(node for sub in below for node in _nodes(sub))]


def _is_structural(node: dict[str, Any]) -> bool:
    has_type = "type" in node or node.keys() & {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    both = {"properties", "additionalProperties"} <= node.keys()
    return bool(has_type) and not both and node.keys() <= _ALLOWED


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), _TYPES, max_size=6))
def test_any_model_of_these_types_gives_only_what_kubernetes_allows(fields: dict[str, Any]) -> None:
    model = create_model("Anything", **{name: (kind, ...) for name, kind in fields.items()})

    assert all(_is_structural(node) for node in _nodes(structural(model.model_json_schema())))


def _own_schema(definition: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return schema


@pytest.mark.parametrize("definition", [custom_resource_definition(), profile_definition()])
def test_our_own_crds_are_structural_and_each_string_list_and_map_is_bounded(definition: dict[str, Any]) -> None:
    schema = _own_schema(definition)
    nodes = [node for part in schema.keys() & {"spec", "status"} for node in _nodes(schema[part])]

    unbounded = [
        node
        for node in nodes
        if (node.get("type") == "string" and not node.keys() & {"enum", "format", "maxLength"})
        or (node.get("type") == "array" and "maxItems" not in node)
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]

    assert unbounded == []
    assert all(_is_structural(node) for node in nodes)


@pytest.mark.parametrize("definition", [custom_resource_definition(), profile_definition()])
def test_each_field_of_the_spec_is_explained(definition: dict[str, Any]) -> None:
    spec = _own_schema(definition)["spec"]

    unexplained = [
        name for node in _nodes(spec) for name, sub in node.get("properties", {}).items() if "description" not in sub
    ]

    assert unexplained == []


def test_the_smallest_job_gets_the_defaults_of_transformers() -> None:
    job = FineTuneJob.model_validate(
        {
            "spec": {
                "task": "text-classification",
                "model": {"source": "google-bert/bert-base-cased"},
                "dataset": {"source": "Yelp/yelp_review_full", "train": {"split": "train"}},
            }
        }
    )

    assert job.to_wire()["spec"]["training"] == {
        "engine": "trainer",
        "epochs": 3.0,
        "batchSize": 8,
        "learningRate": 5e-05,
        "seed": 42,
        "parallelism": "ddp",
        "arguments": {},
    }
