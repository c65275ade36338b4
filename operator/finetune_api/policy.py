"""What the API server refuses at apply beside the CRD's schema, whose rules do not see values without a type.

A ValidatingAdmissionPolicy does: it refuses arguments by their names, and by all their bytes together. It counts no
more bytes than `finetune_api.arguments` does (no quotes, no escapes), so that it refuses nothing that is taken there.
Only creations are looked at, since `spec.training` cannot be changed. See
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
"""

from typing import Final

from finetune_api.arguments import MAX_BYTES, MAX_KEY
from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL

NAME: Final = f"{PLURAL}.{GROUP}"
_GROUP_VERSION: Final = "admissionregistration.k8s.io/v1"
_ARGUMENTS: Final = "variables.arguments"
_WHERE: Final = "spec.training.arguments"


def _scalar(value: str) -> str:
    """Bytes of a scalar, in CEL."""
    other = f"(type({value}) == null_type ? 4 : size(string({value})))"
    return f"(type({value}) == string ? size(bytes({value})) : {other})"


def _value(value: str) -> str:
    items = f"{value}.map(item, {_scalar('item')} + 1).sum()"
    entries = f"{value}.map(key, size(bytes(key)) + {_scalar(f'{value}[key]')} + 2).sum()"
    return f"(type({value}) == list ? {items} : type({value}) == map ? {entries} : {_scalar(value)})"


def admission_policy() -> list[JsonObject]:
    """The policy and its binding, as `kubectl apply` takes them."""
    value = f"{_ARGUMENTS}[name]"
    rules = [
        (
            f"{_ARGUMENTS}.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{{0,63}}$'))",
            f"{_WHERE}: an argument's name has letters, digits and _, at most 64",
        ),
        (
            f"{_ARGUMENTS}.all(name, type({value}) != map || {value}.all(key, size(key) <= {MAX_KEY}))",
            f"{_WHERE}: the key of a map has at most {MAX_KEY} characters",
        ),
        (
            f"{_ARGUMENTS}.map(name, size(bytes(name)) + {_value(value)} + 2).sum() <= {MAX_BYTES}",
            f"{_WHERE}: takes at most {MAX_BYTES} bytes in all",
        ),
    ]
    resource = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE"], "resources": [PLURAL]}
    there = "has(object.spec.training) && has(object.spec.training.arguments)"
    policy = {
        "apiVersion": _GROUP_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [resource]},
            "variables": [
                {"name": "arguments", "expression": f"{there} ? object.spec.training.arguments : dyn({{}})"},
            ],
            "validations": [{"expression": rule, "message": message} for rule, message in rules],
        },
    }
    binding = {
        "apiVersion": _GROUP_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
    return [policy, binding]
