"""A FineTuneProfile on its own: the API server and pydantic read the same, and its defaults are the safe profile."""

import copy
from typing import Any, Final

import pytest
from pydantic import ValidationError

from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.kinds.crds import resources_of
from devcluster.apiserver.schemas.structural import apply_defaults, prune
from devcluster.apiserver.writes.checks import check_valid
from finetune_api.crd import profile_definition
from finetune_api.profile import FineTuneProfileSpec, Limits, safe_profile

_RESOURCE: Final = resources_of(profile_definition())[0]


def stored(spec: dict[str, Any] | None) -> dict[str, Any]:
    """The spec as the API server stores it. Raises ApiError if it is refused."""
    obj: dict[str, Any] = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneProfile",
        "metadata": {"name": "gpus"},
        **({} if spec is None else {"spec": copy.deepcopy(spec)}),
    }
    assert prune(obj, _RESOURCE.schema) == []
    apply_defaults(obj, _RESOURCE.schema)
    check_valid(_RESOURCE, obj, None)
    return obj["spec"]


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"allow": {"images": ["registry.corp/*"], "env": []}},
        {"defaults": {"resources": {"memory": "64Gi"}, "nodeSelector": {"pool": "gpu"}, "scratch": 0}},
        {"limits": {"gpus": 8, "memory": "512Gi"}, "defaults": {"accelerator": {"resource": "amd.com/gpu"}}},
        {"namespaces": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]}},
        {
            "cache": {"claimName": "cache"},
            "trust": {"configMapRef": {"name": "ca"}},
            "hub": {"endpoint": "https://hub"},
        },
    ],
)
def test_what_a_profile_leaves_out_is_that_of_the_safe_one_on_the_api_server_and_here(
    spec: dict[str, Any] | None,
) -> None:
    written, read = stored(spec), FineTuneProfileSpec.model_validate(spec or {})

    assert FineTuneProfileSpec.model_validate(written) == read


def test_the_safe_profile_allows_the_default_account_secrets_of_its_name_and_taints_of_gpus() -> None:
    safe = safe_profile()

    assert (safe.allow.images, safe.allow.priority_classes, safe.allow.annotations) == ([], [], [])
    assert (safe.allow.service_accounts, safe.allow.secrets) == (["default"], ["finetune-*"])
    assert safe.allow.tolerations == ["nvidia.com/gpu", "amd.com/gpu"]
    assert (safe.defaults.resources.cpu, safe.defaults.resources.memory) == ("2", "8Gi")
    assert (safe.defaults.scratch, safe.defaults.tmp, safe.defaults.shared_memory) == ("100Gi", "10Gi", "4Gi")
    assert safe.defaults.active_deadline_seconds == 86_400


def test_the_safe_profile_limits_all_that_a_job_may_ask_for() -> None:
    safe = safe_profile()

    # Not what a job asks for, but what a namespace has.
    assert [name for name in Limits.model_fields if getattr(safe.limits, name) is None] == ["gpu_seconds_per_namespace"]
    assert (safe.limits.gpus, safe.limits.nodes, safe.limits.memory, safe.limits.backoff_limit) == (8, 4, "512Gi", 5)
    assert safe.defaults.output_size == "10Gi"  # and not the limit, which is a default where there is no other


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"allow": {"images": ["a\\E.*"]}}, "spec.allow.images[0]"),
        ({"allow": {"images": ["a b"]}}, "spec.allow.images[0]"),
        ({"allow": {"images": [""]}}, "spec.allow.images[0]"),
        ({"allow": {"images": ["a*b*c*d*e*"]}}, "spec.allow.images[0]"),
        ({"allow": {"env": [f"A{number}" for number in range(33)]}}, "spec.allow.env"),
        ({"allow": {"env": ["a" * 205 for number in range(5)]}}, "spec.allow.env"),
        ({"defaults": {"output": "s3://models/{user}"}}, "spec.defaults.output"),
        ({"defaults": {"output": "s3://models/../x"}}, "spec.defaults.output"),
        ({"defaults": {"scratch": "much"}}, "spec.defaults.scratch"),
        ({"defaults": {"env": [{"name": "FINETUNE_X", "value": "1"}]}}, "spec.defaults.env[0]"),
        ({"limits": {"nodes": 0}}, "spec.limits.nodes"),
        ({"defaults": {"accelerator": {"resource": "gpu"}}}, "spec.defaults.accelerator.resource"),
        ({"cache": {}}, "spec.cache"),
        ({"cache": {"claimName": "a", "size": "1Gi"}}, "spec.cache"),
        ({"cache": {"claimName": "a", "storageClassName": "fast"}}, "spec.cache"),
        ({"hub": {"endpoint": "ftp://hub"}}, "spec.hub.endpoint"),
        (
            {"namespaces": {"matchExpressions": [{"key": "team", "operator": "In"}]}},
            "spec.namespaces.matchExpressions[0]",
        ),
        (
            {"namespaces": {"matchExpressions": [{"key": "team", "operator": "Exists", "values": ["a"]}]}},
            "spec.namespaces.matchExpressions[0]",
        ),
    ],
)
def test_a_wrong_profile_is_refused_on_both_sides(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError):
        FineTuneProfileSpec.model_validate(spec)
    with pytest.raises(ApiError) as refused:
        stored(spec)

    assert (refused.value.details or {})["causes"][0]["field"] == field
