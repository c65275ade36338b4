"""Schemas that a real API server takes and the dev cluster does not know."""

from typing import Any

import pytest

from devcluster.apiserver.cel.rules import compile_rules
from devcluster.apiserver.kinds.crds import check_definition, check_structural


@pytest.mark.parametrize(
    ("schema", "refusal"),
    [
        ({"anyOf": [{"required": ["a"]}]}, "schema.anyOf: Forbidden: the dev cluster does not know it"),
        ({"not": {"required": ["a"]}}, "schema.not: Forbidden: the dev cluster does not know it"),
        (
            {"properties": {"a": {"type": "string", "format": "email"}}},
            "schema.properties[a].format: Forbidden: the dev cluster does not know email",
        ),
    ],
)
def test_what_would_not_be_checked_is_refused(schema: dict[str, Any], refusal: str) -> None:
    assert [str(error) for error in check_structural({"type": "object", **schema}, "schema")] == [refusal]


def test_a_rule_on_an_optional_old_value_is_refused() -> None:
    rule = {"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "optionalOldSelf": True}

    _, errors = compile_rules({"type": "integer", "x-kubernetes-validations": [rule]}, "schema")

    assert [error.field for error in errors] == ["schema.x-kubernetes-validations[0].rule"]
    assert "the dev cluster does not know optionalOldSelf" in errors[0].message


@pytest.mark.parametrize(("path", "refused"), [(".status.phase", False), (".status.list[*].name", True)])
def test_a_column_is_refused_if_its_path_is_not_known(path: str, refused: bool) -> None:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
        "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": path}],
    }
    names = {"plural": "things", "kind": "Thing"}
    definition = {
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }

    errors = [error.field for error in check_definition(definition)]

    assert errors == (["spec.versions[0].additionalPrinterColumns[0].jsonPath"] if refused else [])
