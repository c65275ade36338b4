"""On any spec the API server and pydantic agree: whether it is right, which rule it breaks, and what it means.

They differ in one thing, on purpose: the API server drops a null from `training.arguments`, as from any map, where
`run.yaml` on a laptop keeps it, since None is a value of many an argument.
"""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tests.unit.finetune_api.api_server import RULES, complete_spec, refusals
from tests.unit.finetune_api.specs import each_edge, specs

from finetune_api.v1alpha1 import FineTuneJobSpec


def check(spec: dict[str, Any]) -> None:
    """Fail where the two sides disagree."""
    refused, (parsed, problems) = refusals(spec), _parsed(_without_null_arguments(spec))

    assert bool(refused) == bool(problems), f"API server: {refused}; pydantic: {problems}"
    if parsed is not None:
        assert parsed == FineTuneJobSpec.model_validate(complete_spec(spec), extra="ignore")
    elif not any("unknown field" in refusal or "were not checked" in refusal for refusal in refused):
        # Pydantic may put the field before a rule's message.
        broken = [problem["msg"] for problem in problems if problem["type"] == "rule"]
        assert [text for text in broken if not text.endswith(_told(refused))] == []


def _parsed(spec: dict[str, Any]) -> tuple[FineTuneJobSpec | None, list[ErrorDetails]]:
    try:
        return FineTuneJobSpec.model_validate(spec), []
    except ValidationError as error:
        return None, error.errors()


def _told(refused: list[str]) -> tuple[str, ...]:
    """The rules that the API server names."""
    return tuple(message for message in RULES.values() if any(refusal.endswith(message) for refusal in refused))


def _without_null_arguments(spec: dict[str, Any]) -> dict[str, Any]:
    training = spec.get("training")
    if not isinstance(training, dict) or not isinstance(training.get("arguments"), dict):
        return spec
    return {**spec, "training": {**training, "arguments": _without_nulls(training["arguments"])}}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return copy.deepcopy(value)


@pytest.mark.slow
@given(specs())
@settings(max_examples=3 * settings().max_examples)
def test_the_two_sides_agree_on_random_specs(spec: dict[str, Any]) -> None:
    check(spec)


@pytest.mark.slow
@given(specs())
@settings(max_examples=20 * settings().max_examples)
def test_the_two_sides_agree_on_thousands_of_random_specs(spec: dict[str, Any]) -> None:
    check(spec)


@pytest.mark.slow
def test_the_two_sides_agree_at_each_edge_of_each_field() -> None:
    for spec in each_edge():
        check(spec)
