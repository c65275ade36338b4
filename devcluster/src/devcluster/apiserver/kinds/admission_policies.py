"""ValidatingAdmissionPolicies: CEL expressions that objects must fulfil when they are created, updated or deleted.

What the tables below do not name is refused in a policy or a binding, so that nobody relies on a check that is not made.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel

from devcluster.apiserver.cel.library import environment
from devcluster.apiserver.cel.rules import compiler_message
from devcluster.apiserver.errors import ApiError, FieldError, forbidden, forbidden_field, invalid_value, required
from devcluster.apiserver.objects import Object
from devcluster.apiserver.resources import Resource

GROUP = "admissionregistration.k8s.io"
POLICIES, BINDINGS = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/validatingadmissionpolicybindings"

_POLICY_FIELDS = ("failurePolicy", "matchConditions", "matchConstraints", "paramKind", "validations", "variables")
_BINDING_FIELDS = ("paramRef", "policyName", "validationActions")
_ALL_PARAMETERS: Object = {"selector": {}, "parameterNotFoundAction": "Allow"}
_MATCH_DEFAULTS: Object = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
_RULE_FIELDS = ("apiGroups", "apiVersions", "operations", "resources", "scope")
_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")  # nothing here is a CONNECT
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
"""https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax"""
_BOOL = (cel.Type.BOOL,)
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(frozen=True)
class Admission:
    """A write to admit: CREATE of `obj`, UPDATE of `old` to `obj`, or DELETE of `old`."""

    resource: Resource
    subresource: str
    obj: Object | None
    old: Object | None
    user: Object
    """Who writes, as `userInfo` of a request has it."""
    options: Object = field(default_factory=dict)
    """DeleteOptions of a DELETE."""

    @property
    def operation(self) -> str:
        if self.obj is None:
            return "DELETE"
        return "CREATE" if self.old is None else "UPDATE"

    @property
    def metadata(self) -> Object:
        metadata: Object = (self.obj or self.old or {})["metadata"]
        return metadata

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    def request(self) -> Object:
        """Return the variable `request` of expressions."""
        resource = self.resource
        shared = {"group": resource.group, "version": resource.version}
        return {
            "kind": {**shared, "kind": resource.kind},
            "resource": {**shared, "resource": resource.plural},
            "subResource": self.subresource,
            "operation": self.operation,
            "name": self.name,
            "namespace": self.metadata.get("namespace") or "",
            "userInfo": self.user,
            "options": self.options,
        }


def default_policy(spec: Object) -> None:
    """Fill in the defaults of a policy's spec."""
    spec.setdefault("failurePolicy", "Fail")
    constraints = spec.get("matchConstraints") or {}
    for name, value in _MATCH_DEFAULTS.items():
        constraints.setdefault(name, value)
    for rule in constraints.get("resourceRules") or ():
        rule.setdefault("scope", "*")


def check_policy(spec: Object) -> list[FieldError]:
    """Validate a policy beyond its schema."""
    errors = _unknown(spec, _POLICY_FIELDS, "spec")
    constraints = spec.get("matchConstraints") or {}
    where = "spec.matchConstraints"
    errors += _unknown(constraints, (*_MATCH_DEFAULTS, "resourceRules"), where)
    errors += [
        forbidden_field(f"{where}.{name}", "the dev cluster does not know it")
        for name in _MATCH_DEFAULTS
        if constraints.get(name) != _MATCH_DEFAULTS[name]
    ]
    if not constraints.get("resourceRules"):
        errors.append(required(f"{where}.resourceRules"))
    for index, rule in enumerate(constraints.get("resourceRules") or ()):
        errors += _unknown(rule, _RULE_FIELDS, f"{where}.resourceRules[{index}]")
        resources = rule.get("resources") or []
        if "*/*" in resources and len(resources) > 1:
            why = "if '*/*' is present, must not specify other resources"
            errors.append(invalid_value(f"{where}.resourceRules[{index}].resources", resources, why))
        errors += [
            forbidden_field(f"{where}.resourceRules[{index}].operations", f"the dev cluster does not know {operation}")
            for operation in rule.get("operations") or ()
            if operation not in _OPERATIONS
        ]
    return errors + list(_check_expressions(spec))


def _check_expressions(spec: Object) -> Iterator[FieldError]:
    for index, condition in enumerate(spec.get("matchConditions") or ()):
        yield from _check_expression(condition["expression"], f"spec.matchConditions[{index}].expression", _BOOL)
    for index, variable in enumerate(spec.get("variables") or ()):
        if variable["name"] in _RESERVED or not _IDENTIFIER.fullmatch(variable["name"]):
            yield invalid_value(f"spec.variables[{index}].name", variable["name"], "must be a valid CEL identifier")
        yield from _check_expression(variable["expression"], f"spec.variables[{index}].expression", ())
    for index, validation in enumerate(spec.get("validations") or ()):
        where = f"spec.validations[{index}]"
        yield from _check_expression(validation["expression"], f"{where}.expression", _BOOL)
        if wording := validation.get("messageExpression"):
            yield from _check_expression(wording, f"{where}.messageExpression", (cel.Type.STRING,))


def _check_expression(text: str, where: str, types: tuple[cel.Type, ...]) -> Iterator[FieldError]:
    try:
        found = _program(text).return_type()
    except RuntimeError as error:
        yield invalid_value(where, text, compiler_message(error))
        return
    if types and found not in (*types, cel.Type.DYN):
        yield invalid_value(where, text, f"must evaluate to {str(types[0]).lower()}")


def check_binding(spec: Object) -> list[FieldError]:
    """Validate a binding beyond its schema."""
    errors = _unknown(spec, _BINDING_FIELDS, "spec")
    actions = spec.get("validationActions")
    if not actions:
        errors.append(required("spec.validationActions", "at least one validation action is required"))
    elif actions != ["Deny"]:
        errors.append(forbidden_field("spec.validationActions", "the dev cluster knows Deny alone"))
    if spec.get("paramRef", _ALL_PARAMETERS) != _ALL_PARAMETERS:
        errors.append(forbidden_field("spec.paramRef", "the dev cluster knows an empty selector with Allow alone"))
    return errors


def _unknown(obj: Object, known: Iterable[str], where: str) -> list[FieldError]:
    return [forbidden_field(f"{where}.{name}", "the dev cluster does not know it") for name in obj if name not in known]


def denial(
    policy: Object, binding: Object, admission: Admission, namespace: Object | None, parameters: Sequence[Object | None]
) -> ApiError | None:
    """Return why a policy denies a write, in a real server's words; None if it does not.

    It is evaluated once for each of the parameters, or with None where it takes none. `namespace` is that of the object.
    """
    spec = policy["spec"]
    if not any(_matches(rule, admission) for rule in spec["matchConstraints"]["resourceRules"]):
        return None
    data: Object = {
        "object": admission.obj,
        "oldObject": admission.old,
        "request": admission.request(),
        "authorizer": "",
        "namespaceObject": namespace,
    }
    return next(
        (error for each in parameters if (error := _denial(policy, binding, admission, {**data, "params": each}))), None
    )


def _denial(policy: Object, binding: Object, admission: Admission, data: Object) -> ApiError | None:
    """Return why a policy denies a write for one parameter."""
    spec = policy["spec"]
    ignores_errors = spec["failurePolicy"] == "Ignore"
    unmet, failure = _unmet_conditions(spec, data)
    if unmet or (failure and ignores_errors):
        return None
    if failure:
        return _denied(policy, binding, admission, failure, "Invalid")
    data["variables"] = _variables(spec, data)
    for validation in spec.get("validations") or ():
        if message := _violation(validation, data, ignores_errors=ignores_errors):
            return _denied(policy, binding, admission, message, validation.get("reason") or "Invalid")
    return None


def _denied(policy: Object, binding: Object, admission: Admission, message: str, reason: str) -> ApiError:
    names = f"'{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
    text = f"ValidatingAdmissionPolicy {names} denied request: {message}"
    error = forbidden(admission.resource.plural, admission.resource.group, admission.name, text)
    error.reason = reason
    error.code = _CODES.get(reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": text}]}
    return error


def _unmet_conditions(spec: Object, data: Object) -> tuple[bool, str]:
    """Return whether a match condition is false, and why one cannot be evaluated if so."""
    unmet, failure = False, ""
    for condition in spec.get("matchConditions") or ():
        result = _program(condition["expression"]).eval(data=data)
        if result.type() != cel.Type.BOOL:
            failure = f"match condition '{condition['name']}' resulted in error: {result.value()}"
        elif result.value() is False:
            unmet = True
    return unmet, failure


def _matches(rule: Object, admission: Admission) -> bool:
    resource, subresource = admission.resource, admission.subresource
    path = f"{resource.plural}/{subresource}" if subresource else resource.plural
    scope = "Namespaced" if resource.namespaced else "Cluster"
    return (
        bool({resource.group, "*"} & set(rule.get("apiGroups") or ()))
        and bool({resource.version, "*"} & set(rule.get("apiVersions") or ()))
        and admission.operation in (rule.get("operations") or ())
        and bool({path, "*/*", *(() if subresource else "*")} & set(rule.get("resources") or ()))
        and rule["scope"] in ("*", scope)
    )


def _variables(spec: Object, data: Object) -> Object:
    """Evaluate the variables, each with those before it; one that fails is missing where an expression uses it."""
    values: Object = {}
    for variable in spec.get("variables") or ():
        result = _program(variable["expression"]).eval(data={**data, "variables": values})
        if result.type() != cel.Type.ERROR:
            values = {**values, variable["name"]: result.plain_value()}
    return values


def _violation(validation: Object, data: Object, *, ignores_errors: bool) -> str:
    expression = validation["expression"].strip()
    result = _program(validation["expression"]).eval(data=data)
    if result.type() != cel.Type.BOOL:
        reason = re.sub(r"^[A-Z_]+: ", "", str(result.value()))
        return "" if ignores_errors else f"expression '{expression}' resulted in error: {reason}"
    return "" if result.value() is True else _message(validation, data) or f"failed expression: {expression}"


def _message(validation: Object, data: Object) -> str:
    if wording := validation.get("messageExpression"):
        result = _program(wording).eval(data=data)
        if result.type() == cel.Type.STRING and str(result.value()).strip():
            return str(result.value())
    return str(validation.get("message") or "")


@functools.lru_cache(maxsize=1024)
def _program(expression: str) -> Any:
    return _environment().compile(expression)


@functools.cache
def _environment() -> cel.Env:
    names = ("authorizer", "namespaceObject", "object", "oldObject", "params", "request", "variables")
    return environment(dict.fromkeys(names, cel.Type.DYN))
