"""CEL rules of definitions: what compiles, what runs, what they say."""

from typing import Any

import pytest

from devcluster.apiserver.cel.library import parse_quantity
from devcluster.apiserver.cel.rules import check_rules, compile_rules


def schema(*rules: dict[str, Any], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}


NUMBER, WHOLE, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("rule", "properties", "complaint"),
    [
        ("self.b == 1", {"a": WHOLE}, "undefined field 'b'"),
        ("self.a == 1", {"a": NUMBER}, "no matching overload for '_==_' applied to '(double, int)'"),
        ("self.a", {"a": TEXT}, "cel expression must evaluate to a bool"),
        ("self.a.all(x, x.b > 1)", {"a": {"type": "array", "items": schema(c=WHOLE)}}, "undefined field 'b'"),
        ("self.free.any == 1", {"free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}, "any"),
    ],
)
def test_a_rule_that_does_not_fit_its_schema_is_refused(
    rule: str, properties: dict[str, dict[str, Any]], complaint: str
) -> None:
    _, errors = compile_rules(schema({"rule": rule}, **properties))

    assert [complaint in error.message for error in errors] == [True]


@pytest.mark.parametrize(
    ("rule", "properties", "value", "holds"),
    [
        ("self.a <= 3", {"a": NUMBER}, {"a": 2.5}, True),
        ("self.a == 3.0", {"a": NUMBER}, {"a": 3}, True),
        ("has(self.a) == has(self.b)", {"a": WHOLE, "b": WHOLE}, {"a": 1}, False),
        ("self.list.exists_one(x, x.startsWith('a'))", {"list": {"type": "array", "items": TEXT}}, {"list": ["ab"]}, True),
        ("'k' in self.map", {"map": {"type": "object", "additionalProperties": TEXT}}, {"map": {"k": "v"}}, True),
        ("self.namespace__dash__x == 'y'", {"namespace-x": TEXT}, {"namespace-x": "y"}, True),
        ("self.__namespace__ == 'y'", {"namespace": TEXT}, {"namespace": "n"}, False),
        ("self.when > timestamp('2026-01-01T00:00:00Z')", {"when": {**TEXT, "format": "date-time"}}, {"when": "2026-06-01T00:00:00Z"}, True),
        ("self.port == 80 || self.port == 'http'", {"port": {"x-kubernetes-int-or-string": True}}, {"port": "http"}, True),
        ("self.?a.orValue(1) == 1", {"a": WHOLE}, {}, True),
        ("quantity(self.a).isLessThan(quantity('2Gi'))", {"a": TEXT}, {"a": "16Mi"}, True),
    ],
)  # fmt: skip
def test_a_rule_decides(rule: str, properties: dict[str, dict[str, Any]], value: dict[str, Any], holds: bool) -> None:
    whole = {"type": "object", "properties": {"spec": schema({"rule": rule}, **properties)}}
    tree, errors = compile_rules(whole)

    refusals = check_rules(tree, {"spec": value}, None, whole)

    assert errors == []
    assert [str(refusal) for refusal in refusals] == ([] if holds else [f"spec: Invalid value: failed rule: {rule}"])


def test_equality_of_objects_sees_fields_that_the_schema_does_not_name() -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    whole = schema(spec={**free, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}]})
    tree, _ = compile_rules(whole)

    same = check_rules(tree, {"spec": {"a": {"b": [1, 2.0]}}}, {"spec": {"a": {"b": [1, 2.0]}}}, whole)
    other = check_rules(tree, {"spec": {"a": {"b": [1, 3.0]}}}, {"spec": {"a": {"b": [1, 2.0]}}}, whole)

    assert (same, [str(error) for error in other]) == ([], ["spec: Invalid value: immutable"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("250m", 0.25),
        ("16Gi", 16 * 2.0**30),
        ("1.5k", 1500.0),
        ("1e3", 1000.0),
        ("x", None),
        ("1 Gi", None),
    ],
)
def test_quantities(text: str, value: float | None) -> None:
    assert parse_quantity(text) == value
