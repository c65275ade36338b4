"""x-kubernetes-validations: CEL rules of custom resources, compiled with the definition, evaluated on every write."""

import datetime
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel
from google.protobuf import timestamp_pb2

from devcluster.apiserver.cel.library import environment
from devcluster.apiserver.cel.types import escaped, static_type
from devcluster.apiserver.errors import FieldError, format_value
from devcluster.apiserver.objects import Object
from devcluster.apiserver.schemas.structural import child_schema, list_keys

_REASONS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
_CROSS_TYPE = re.compile(r"no matching overload for '_[<>]=?_' applied to '\((double, int|int, double)\)'")


@dataclass(frozen=True)
class Rule:
    """One compiled rule; `old_self` is whether it uses the value before the update."""

    source: str
    program: cel.Expression
    message: str
    message_program: cel.Expression | None
    reason: str
    field_path: str
    old_self: bool


@dataclass
class RuleTree:
    """The rules of a schema node and of the nodes below it that have any."""

    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, "RuleTree"] = field(default_factory=dict)
    items: "RuleTree | None" = None
    additional: "RuleTree | None" = None

    def __bool__(self) -> bool:
        return bool(self.rules or self.properties or self.items or self.additional)


def compile_rules(
    schema: Object, path: str = "openAPIV3Schema", *, root: bool = True
) -> tuple[RuleTree, list[FieldError]]:
    """Compile the rules of a schema; return them and an error for each rule that does not compile."""
    tree, errors = RuleTree(), []
    for index, declared in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{index}]"
        try:
            tree.rules.append(_compile(json.dumps(declared), json.dumps(schema), root=root))
        except RuntimeError as error:
            detail = compiler_message(error)
            errors.append(
                FieldError(
                    f"{where}.rule", "FieldValueInvalid", f"Invalid value: {_as_go_prints_rule(declared)}: {detail}"
                )
            )
    for name, child in (schema.get("properties") or {}).items():
        below, wrong = compile_rules(child, f"{path}.properties[{name}]", root=False)
        errors += wrong
        if below:
            tree.properties[name] = below
    for word in ("items", "additionalProperties"):
        if isinstance(child := schema.get(word), dict):
            below, wrong = compile_rules(child, f"{path}.{word}", root=False)
            errors += wrong
            if below and word == "items":
                tree.items = below
            elif below:
                tree.additional = below
    return tree, errors


def check_rules(tree: RuleTree, value: Any, old: Any, schema: Object, path: str = "") -> list[FieldError]:
    """Evaluate the rules on `value`; `old` is the value before the update, or None.

    Return an error for each that fails.
    """
    if value is None:
        return []
    errors: list[FieldError] = []
    if tree.rules:
        current, before = to_cel(value, schema, root=not path), to_cel(old, schema, root=not path)
        for rule in tree.rules:
            errors += _run(rule, current, before, value, path)
    if isinstance(value, dict):
        previous = old if isinstance(old, dict) else {}
        for name, child in tree.properties.items():
            if name in value:
                here = f"{path}.{name}" if path else name
                errors += check_rules(child, value[name], previous.get(name), child_schema(schema, name) or {}, here)
        if tree.additional:
            for name, item in value.items():
                errors += check_rules(
                    tree.additional, item, previous.get(name), schema["additionalProperties"], f"{path}[{name}]"
                )
    if isinstance(value, list) and tree.items:
        for index, item in enumerate(value):
            errors += check_rules(tree.items, item, _correlated(item, old, schema), schema["items"], f"{path}[{index}]")
    return errors


def to_cel(value: Any, schema: Object, *, root: bool = False) -> Any:
    """Convert a JSON value to CEL by its schema: doubles for numbers, timestamps for date-times, escaped names."""
    if value is None:
        return None
    if isinstance(value, dict):
        named = (schema.get("properties") or {}) | ({"apiVersion": {}, "kind": {}, "metadata": {}} if root else {})
        converted: Object = {}
        for name, item in value.items():
            child = child_schema(schema, name) or {}
            converted[escaped(name) if name in named else name] = to_cel(item, child)
        return converted
    if isinstance(value, list):
        return [to_cel(item, schema.get("items") or {}) for item in value]
    if schema.get("type") == "number":
        return float(value)
    if isinstance(value, str) and schema.get("format") == "date-time":
        return _time(value)
    return value


def _time(value: str) -> Any:
    moment = timestamp_pb2.Timestamp()
    try:
        moment.FromDatetime(datetime.datetime.fromisoformat(value))
    except ValueError:
        return value  # validation of the schema refuses the format
    return moment


@functools.lru_cache(maxsize=1024)
def _compile(declared_text: str, schema_text: str, *, root: bool) -> Rule:
    """Compile a rule. The arguments are JSON so that it is cached: a definition is first checked, then used."""
    declared, schema = json.loads(declared_text), json.loads(schema_text)
    source = declared.get("rule", "")
    if declared.get("optionalOldSelf"):
        raise RuntimeError("the dev cluster does not know optionalOldSelf")
    _check(source, schema, root=root)
    env = _untyped()
    wording = declared.get("messageExpression")
    return Rule(
        source=source,
        program=env.compile(source),
        message=declared.get("message") or "",
        message_program=env.compile(wording) if wording else None,
        reason=declared.get("reason") or "FieldValueInvalid",
        field_path=declared.get("fieldPath") or "",
        old_self=re.search(r"\boldSelf\b", source) is not None,
    )


@functools.cache
def _untyped() -> cel.Env:
    """Return the environment in which rules are evaluated; their fields have been checked with static types."""
    return environment({"self": cel.Type.DYN, "oldSelf": cel.Type.DYN})


def _check(source: str, schema: Object, *, root: bool) -> None:
    """Compile with static types. Raises RuntimeError with the compiler's complaint.

    Kubernetes lets `<` and its like compare int with double, which the checker here does not know: that complaint is
    ignored.
    """
    kind, pool = static_type(schema, root=root)
    env = environment({"self": kind, "oldSelf": kind}, pool)
    try:
        result = env.compile(source).return_type()
    except RuntimeError as error:
        complaints = re.findall(r"ERROR: .*", str(error))
        if complaints and all(_CROSS_TYPE.search(complaint) for complaint in complaints):
            return
        raise
    if result not in (cel.Type.BOOL, cel.Type.DYN):
        raise RuntimeError("cel expression must evaluate to a bool")


def _run(rule: Rule, current: Any, before: Any, value: Any, path: str) -> Iterator[FieldError]:
    if rule.old_self and before is None:
        return
    data = {"self": current}
    if rule.old_self:
        data["oldSelf"] = before
    result = rule.program.eval(data=data)
    if result.type() == cel.Type.BOOL:
        if result.value() is True:
            return
        message = _message(rule, data)
    else:
        reason = re.sub(r"^[A-Z_]+: ", "", str(result.value()))
        message = f"{_failure_text(rule)}: {reason}"
    where = path + rule.field_path if rule.field_path else path
    where = where.removeprefix(".") or "<nil>"
    yield FieldError(where, rule.reason, f"{_cause_prefix(rule.reason, value)}: {message}")


def _cause_prefix(reason: str, value: Any) -> str:
    words = _REASONS.get(reason, "Invalid value")
    if reason not in ("FieldValueInvalid", "FieldValueDuplicate") or isinstance(value, dict | list):
        return words
    return f"{words}: {format_value(value)}"


def _message(rule: Rule, data: Object) -> str:
    if rule.message_program is not None:
        result = rule.message_program.eval(data=data)
        if result.type() == cel.Type.STRING and str(result.value()).strip():
            return str(result.value())
    return _failure_text(rule)


def _failure_text(rule: Rule) -> str:
    return rule.message or f"failed rule: {rule.source.strip()}"


def _correlated(item: Any, old: Any, schema: Object) -> Any:
    """Return the old item that has the same keys; only items of associative lists are correlated."""
    keys = list_keys(schema)
    if not keys or not isinstance(old, list) or not isinstance(item, dict):
        return None
    identity = json.dumps([item.get(key) for key in keys])
    return next((one for one in old if json.dumps([one.get(key) for key in keys]) == identity), None)


def _as_go_prints_rule(declared: Object) -> str:
    """Return a rule as a real API server prints it."""
    words = {word[0].upper() + word[1:]: declared.get(word) for word in ("reason", "optionalOldSelf")}
    texts = {word: declared.get(word, "") for word in ("rule", "message", "messageExpression", "fieldPath")}
    both = {word[0].upper() + word[1:]: text for word, text in texts.items()} | words
    order = ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")
    return json.dumps({word: both[word] for word in order}, separators=(",", ":"), ensure_ascii=False)


def compiler_message(error: RuntimeError) -> str:
    """Return the compiler's complaint in a real server's words."""
    text = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", str(error)).strip()
    text = re.sub(r" not found in struct 'schema\.\w+'", "", text)
    return f"compilation failed: {text}" if text.startswith("ERROR") else text
