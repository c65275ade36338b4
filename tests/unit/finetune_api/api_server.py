"""The API server's side of the contract: what it answers to a spec, by the dev cluster's validation.

The dev cluster has no admission policies, so the expressions of ours are run here.
"""

from collections.abc import Iterator
from typing import Any, Final

from cel_expr_python import cel

from devcluster.apiserver.cel.library import environment
from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.kinds.crds import resources_of
from devcluster.apiserver.objects import clone
from devcluster.apiserver.schemas.structural import apply_defaults, prune
from devcluster.apiserver.writes.checks import check_valid
from finetune_api.crd import custom_resource_definition
from finetune_api.policy import admission_policies
from finetune_api.v1alpha1 import API_VERSION, KIND

SERVER_RESOURCE: Final = resources_of(custom_resource_definition())[0]
_ENVIRONMENT: Final = environment({"request": cel.Type.DYN, "variables": cel.Type.DYN})
_POLICY: Final = [
    (_ENVIRONMENT.compile(rule["expression"]), rule["message"])
    for rule in admission_policies()[0]["spec"]["validations"]
    if "message" in rule
]


def _rules(node: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield from node.get("x-kubernetes-validations", [])
    for child in (*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")):
        if isinstance(child, dict):
            yield from _rules(child)


RULES: Final = {rule["rule"]: rule["message"] for rule in _rules(SERVER_RESOURCE.schema["properties"]["spec"])}
"""Message of each CEL rule of the spec."""


def complete_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec as the API server stores it: nulls dropped, defaults filled in."""
    return _complete(spec)["spec"]


def refusals(
    spec: dict[str, Any], before: dict[str, Any] | None = None, status: dict[str, Any] | None = None
) -> list[str]:
    """Return `field: message` for all that is wrong with a spec, [] if it is accepted; unknown fields are refused.

    With `before` it is an update, of an object with this status.
    """
    there = {} if status is None else {"status": status}
    obj = clone({**_object(spec), **there})
    if unknown := prune(obj, SERVER_RESOURCE.schema):
        return [f"{field}: unknown field" for field in unknown]
    apply_defaults(obj, SERVER_RESOURCE.schema)
    try:
        check_valid(SERVER_RESOURCE, obj, {**_complete(before), **there} if before is not None else None)
    except ApiError as error:
        causes = (error.details or {}).get("causes") or [{"field": "", "message": error.message}]
        return [f"{cause['field']}: {cause['message']}" for cause in causes]
    data = {
        "request": {"namespace": "team-a"},
        "variables": {"arguments": obj["spec"]["training"].get("arguments", {})},
    }
    return [text for rule, text in _POLICY if rule.eval(data=data).value() is not True]


def _object(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "job", "namespace": "team"}, "spec": spec}


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    obj = clone(_object(spec))
    apply_defaults(obj, SERVER_RESOURCE.schema)
    return obj
