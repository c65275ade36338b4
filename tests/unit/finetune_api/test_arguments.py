"""`training.arguments`: flat and small, by the schema at apply and by pydantic wherever it is read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devcluster.apiserver.schemas.validation import validate
from finetune_api.crd import custom_resource_definition
from finetune_api.training import Training

_ROOT = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SCHEMA = _ROOT["properties"]["spec"]["properties"]["training"]["properties"]["arguments"]


def problem(arguments: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Training.model_validate({"arguments": arguments})
    return str(caught.value.errors()[0]["msg"])


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"warmup_steps": 100, "weight_decay": 0.01, "bf16": True, "optim": "adamw_torch", "max_grad_norm": None},
        {"optim_args": "a=1,b=2", "lr_scheduler_kwargs": {"min_lr": 1e-6, "cycle": True}, "debug": ["underflow"]},
        {"optim_target_modules": [f"layer_{number}" for number in range(64)]},
        {"text": "ü" * 1024, "list": ["中" * 256], "map": {"k" * 128: "中" * 256}},
        {f"name_{number}": number for number in range(64)},
        {"large": 10**30, "small": -1e300},
    ],
)
def test_scalars_and_flat_lists_and_maps_are_taken_as_they_are(arguments: dict[str, Any]) -> None:
    assert Training.model_validate({"arguments": arguments}).arguments == arguments
    assert validate(arguments, SCHEMA) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": [[1]]}, "a: is nested too deep; a list or map here holds text, numbers and booleans only"),
        ({"a": {"b": {"c": 1}}}, "a.b: is nested too deep; a list or map here holds text, numbers and booleans only"),
        ({"a": nested(1200)}, "a: is nested too deep; a list or map here holds text, numbers and booleans only"),
        ({"a": "x" * 1025}, "a: text has at most 1024 characters here, and this one 1025"),
        ({"a": ["x" * 257]}, "a: text has at most 256 characters here, and this one 257"),
        ({"a": [1] * 65}, "a: a list holds at most 64 values, and this one 65"),
        ({"a": {str(n): n for n in range(33)}}, "a: a map holds at most 32 values, and this one 33"),
        ({f"a{n}": n for n in range(65)}, "Dictionary should have at most 64 items after validation, not more"),
    ],
)
def test_what_is_deep_long_or_many_is_refused_at_apply_and_by_name(arguments: dict[str, Any], message: str) -> None:
    assert problem(arguments) == message
    assert validate(arguments, SCHEMA, "arguments") != []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning rate": 1}, "'learning rate' is no argument's name, which has letters, digits and _, at most 64"),
        ({"x" * 65: 1}, f"{'x' * 65!r} is no argument's name, which has letters, digits and _, at most 64"),
        ({"a": {"k" * 129: 1}}, f"a: a key is text of at most 128 characters, not '{'k' * 79}"),
        ({f"a{n}": "x" * 1000 for n in range(17)}, "takes at most 16384 bytes in all, and this is 17144"),
        ({"a": [[]]}, "a: is nested too deep; a list or map here holds text, numbers and booleans only"),
        ({"a": float("nan")}, "a: must be a finite number, not nan"),
        ({"a": [10**400]}, "a: is too large for a number"),
        ({"a": b"x"}, "a: must be text, a number, a boolean, or a flat list or map of such, not bytes"),
    ],
)
def test_what_a_schema_cannot_say_is_said_wherever_it_is_read(arguments: dict[str, Any], message: str) -> None:
    assert problem(arguments) == message


_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
_SCALARS |= st.text(max_size=4) | st.sampled_from(["x" * 256, "x" * 257, "x" * 1024, "x" * 1025])
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.sampled_from([[1] * 64, [1] * 65, {str(n): n for n in range(32)}, {str(n): n for n in range(33)}])
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), _JSON, max_size=4))
def test_the_api_server_and_pydantic_refuse_the_same(arguments: dict[str, Any]) -> None:
    refused = bool(validate(arguments, SCHEMA))
    empty_inside = any(
        item in ([], {})
        for value in arguments.values()
        if isinstance(value, list | dict)
        for item in (value.values() if isinstance(value, dict) else value)
    )

    try:
        Training.model_validate({"arguments": arguments})
    except ValidationError:
        assert refused or empty_inside  # an empty list in a list harms nobody, and means nothing
    else:
        assert not refused
