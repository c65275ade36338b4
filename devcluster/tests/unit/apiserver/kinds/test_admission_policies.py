"""Policies that a real API server refuses, or takes and the dev cluster does not know."""

from typing import Any

import pytest

from devcluster.apiserver.kinds.admission_policies import check_binding, check_policy, default_policy

RULE = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "operations": ["*"]}]}},
            "spec.matchConstraints.resourceRules[0].operations",
        ),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["a"]}]}},
            "spec.matchConstraints.resourceRules[0].resourceNames",
        ),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "resources": ["*", "*/*"]}]}},
            "spec.matchConstraints.resourceRules[0].resources",
        ),
        ({"variables": [{"name": "namespace", "expression": "true"}]}, "spec.variables[0].name"),
        (
            {"matchConstraints": {"resourceRules": [RULE], "objectSelector": {"matchLabels": {"a": "b"}}}},
            "spec.matchConstraints.objectSelector",
        ),
    ],
)
def test_what_is_wrong_or_would_not_be_checked_is_refused(change: dict[str, Any], field: str) -> None:
    spec = {"matchConstraints": {"resourceRules": [{**RULE}]}, "validations": [{"expression": "true"}], **change}
    default_policy(spec)

    assert [error.field for error in check_policy(spec)] == [field]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"validationActions": ["Audit"]}, "spec.validationActions"),
        ({"paramRef": {"name": "a", "parameterNotFoundAction": "Allow"}}, "spec.paramRef"),
        ({"paramRef": {"selector": {}, "parameterNotFoundAction": "Deny"}}, "spec.paramRef"),
        ({"matchResources": {}}, "spec.matchResources"),
    ],
)
def test_a_binding_denies_and_does_nothing_else(change: dict[str, Any], field: str) -> None:
    spec = {"policyName": "a", "validationActions": ["Deny"], **change}

    assert [error.field for error in check_binding(spec)] == [field]
