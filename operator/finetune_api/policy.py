"""The admission policies: what the API server refuses at apply besides the CRD's schema.

The rules of a CRD do not see values without a type, other objects, or the namespace; a ValidatingAdmissionPolicy does. See
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
"""

from typing import Final

from finetune_api import profile
from finetune_api.arguments import RULES
from finetune_api.base import JsonObject
from finetune_api.profile_rules import ProfileRule, cel_variables
from finetune_api.profile_table import PROFILE_RULES
from finetune_api.v1alpha1 import API_VERSION, GROUP, PLURAL

NAME: Final = f"{PLURAL}.{GROUP}"
PROFILE_NAME: Final = f"{profile.PLURAL}.{GROUP}"
_GROUP_VERSION: Final = "admissionregistration.k8s.io/v1"
_WHERE: Final = "spec.training.arguments"


def admission_policies() -> list[JsonObject]:
    """Return the policies, each followed by its binding, as `kubectl apply` takes them."""
    parameters = {"selector": {}, "parameterNotFoundAction": "Allow"}
    return [
        _policy(NAME, _arguments()),
        _binding(NAME),
        _policy(PROFILE_NAME, _profile()),
        _binding(PROFILE_NAME, paramRef=parameters),
    ]


def _policy(name: str, spec: JsonObject) -> JsonObject:
    return {
        "apiVersion": _GROUP_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"failurePolicy": "Fail", **spec},
    }


def _binding(name: str, **more: JsonObject) -> JsonObject:
    return {
        "apiVersion": _GROUP_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], **more},
    }


def _on(*operations: str) -> JsonObject:
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": [*operations], "resources": [PLURAL]}
    return {"resourceRules": [rule]}


def _arguments() -> JsonObject:
    """The rules about what cannot be changed after the creation: `spec.training.arguments`, and the namespace."""
    there = "has(object.spec.training) && has(object.spec.training.arguments)"
    return {
        "matchConstraints": _on("CREATE"),
        "variables": [{"name": "arguments", "expression": f"{there} ? object.spec.training.arguments : dyn({{}})"}],
        "validations": [
            # Where the operator's account may write nothing.
            {
                "expression": "!request.namespace.startsWith('kube-')",
                "message": "FineTuneJobs are not served in namespaces kube-*",
            },
            *({"expression": rule.cel, "message": f"{_WHERE}: {rule.message}"} for rule in RULES),
        ],
    }


def _profile() -> JsonObject:
    """The rules of a FineTuneProfile. Each profile is a parameter, and they speak where it is the job's own."""
    # A job that runs keeps the profile that it began with, whatever its namespace is labelled with now.
    frozen = "oldObject != null && oldObject.?status.?profile.?name.hasValue() ? oldObject.status.profile.name"
    labelled = f"variables.namespaceLabels[?'{profile.NAMESPACE_LABEL}'].orValue('')"
    named = f"object.spec.?profile.hasValue() ? object.spec.profile : {labelled} != '' ? {labelled}"
    variables = {
        **cel_variables(),
        "profile": f"{frozen} : {named} : '{profile.DEFAULT_NAME}'",
        "own": "params.metadata.name == variables.profile",
    }
    return {
        "paramKind": {"apiVersion": API_VERSION, "kind": profile.KIND},
        "matchConstraints": _on("CREATE", "UPDATE"),
        "variables": [{"name": name, "expression": expression} for name, expression in variables.items()],
        "validations": [_validation(rule) for rule in PROFILE_RULES],
    }


def _validation(rule: ProfileRule) -> JsonObject:
    silent = "request.operation == 'UPDATE'"
    if rule.changeable:
        silent = f"({silent} && {rule.changeable} == old{rule.changeable.replace('object', 'Object', 1)})"
    return {
        "expression": f"!variables.own || {silent} || ({rule.holds})",
        "messageExpression": f"'profile ' + params.metadata.name + ': ' + {rule.wording}",
    }
