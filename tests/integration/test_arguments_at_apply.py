"""`spec.training.arguments` at apply: what the schema and the admission policy take, and what they refuse."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.integration.fixtures import ROOT, finetunejob

from devcluster.apiserver.schemas.validation import validate
from devcluster.cluster import Cluster
from devcluster.testing.api import MERGE, Answer, Api, eventually
from finetune_api.crd import custom_resource_definition
from finetune_api.training import Training

few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
_ARGUMENTS = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"][
    "properties"
]["training"]["properties"]["arguments"]
_VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, "x", "x" * 257, "中" * 1024, "x" * 1025]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.sampled_from([[1] * 64, [1] * 65, {str(n): n for n in range(32)}, {str(n): n for n in range(33)}])
    ),
    max_leaves=4,
)


@pytest.mark.slow
@few
@given(st.dictionaries(st.sampled_from(["warmup_steps", "optim_args", "lr_scheduler_kwargs"]), _VALUES))
def test_arguments_are_taken_as_the_schema_says(finetune_crd: Cluster, api: Api, arguments: dict[str, Any]) -> None:
    job = finetunejob("any", training={"arguments": arguments})

    answer = api("POST", "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs?dryRun=All", job)

    assert (answer.code == 201) == (validate(arguments, _ARGUMENTS) == []), answer.body


@pytest.mark.parametrize("levels", [2, 900, 1200, 9900])
def test_nested_arguments_are_refused_with_the_field_s_name(finetune_crd: Cluster, api: Api, levels: int) -> None:
    nested = "[" * levels + "1" + "]" * levels
    job = json.dumps(finetunejob("deep", training={"arguments": {"a": "HERE"}})).replace('"HERE"', nested)

    answer = api("POST", "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs", job)

    assert answer.code == 422
    assert "spec.training.arguments.a[0]: Too many: 1: must have at most 0 items" in answer.message


@pytest.fixture(scope="module")
def policy(finetune_crd: Cluster, api: Api) -> Iterator[None]:
    """The admission policy in force."""
    path = "/apis/admissionregistration.k8s.io/v1/"
    rules, binding = list(yaml.safe_load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text()))[:2]
    made = api("POST", path + "validatingadmissionpolicies", rules)
    assert made.code == 201, made.message
    assert api("POST", path + "validatingadmissionpolicybindings", binding).code == 201
    eventually(lambda: dry_run(api, {"a b": 1}).code == 422, "the policy to be in force")
    status = api("GET", path + f"validatingadmissionpolicies/{rules['metadata']['name']}").body["status"]
    assert status.get("typeChecking", {}).get("expressionWarnings", []) == []
    yield
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        api("DELETE", f"{path}{plural}/{rules['metadata']['name']}")


def dry_run(api: Api, arguments: dict[str, Any]) -> Answer:
    job = finetunejob("any", training={"arguments": arguments})
    return api("POST", "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs?dryRun=All", job)


def test_arguments_that_come_with_another_run_are_held_to_the_same_rules(policy: None, api: Api) -> None:
    path = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs"
    assert api("POST", path, finetunejob("run-again")).code == 201

    answers = [
        api("PATCH", f"{path}/run-again?dryRun=All", {"spec": spec}, MERGE)
        for spec in (
            {"runToken": "2", "training": {"arguments": {"a b": 1}}},
            {"runToken": "2", "training": {"arguments": {"warmup_steps": 1}}},
            {"suspend": True},
        )
    ]
    api("DELETE", f"{path}/run-again")

    assert [answer.code for answer in answers] == [422, 200, 200]
    assert "spec.training.arguments" in answers[0].message


def test_no_job_is_taken_where_the_operator_may_write_nothing(policy: None, api: Api) -> None:
    answers = [
        api("POST", f"/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs?dryRun=All", finetunejob("any"))
        for namespace in ("kube-system", "default")
    ]

    assert [answer.code for answer in answers] == [422, 201]
    assert answers[0].message.endswith("FineTuneJobs are not served in namespaces kube-*")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"warmup_steps": 0.1, "bf16": True, "max_grad_norm": None, "optim": "adamw_torch", "debug": ["x", 1, None]},
        {"lr_scheduler_kwargs": {"min_lr": 1e-6, "cycle": True, "k" * 128: "x" * 256}},
        {f"a{number}": "x" * 1000 for number in range(16)},
        {f"a{number}": [1] * 64 for number in range(64)},
    ],
)
def test_the_policy_lets_through_what_is_right(policy: None, api: Api, arguments: dict[str, Any]) -> None:
    assert Training.model_validate({"arguments": arguments}).arguments == arguments
    assert dry_run(api, arguments).code == 201


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning rate": 1}, "an argument's name has letters, digits and _, at most 64"),
        ({"x" * 65: 1}, "an argument's name has letters, digits and _, at most 64"),
        ({"a": {"k" * 129: 1}}, "the key of a map has at most 128 characters"),
        ({f"a{number}": "x" * 1024 for number in range(17)}, "takes at most 16384 bytes in all"),
        ({f"a{number}": ["中" * 256] * 8 for number in range(4)}, "takes at most 16384 bytes in all"),
        ({f"a{number}": {str(key): "x" * 200 for key in range(30)} for number in range(3)}, "at most 16384 bytes"),
    ],
)
def test_the_policy_refuses_names_and_sizes_at_apply(
    policy: None, api: Api, arguments: dict[str, Any], message: str
) -> None:
    answer = dry_run(api, arguments)

    assert answer.code == 422
    assert message in answer.message


_SIZED = st.dictionaries(
    st.from_regex(r"[a-z]{1,4}", fullmatch=True),
    st.sampled_from(["x" * 1000, "中" * 700, ["é" * 256] * 20, {str(key): 1.5 for key in range(32)}, [None, 1e300], 7]),
    max_size=30,
)


@few
@given(_SIZED)
def test_the_policy_refuses_nothing_that_the_operator_takes(policy: None, api: Api, arguments: dict[str, Any]) -> None:
    try:
        Training.model_validate({"arguments": arguments})
    except ValidationError:
        return
    assert dry_run(api, arguments).code == 201
