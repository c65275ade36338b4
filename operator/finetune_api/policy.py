"""The admission policy: what the API server refuses at apply besides the CRD's schema.

The rules of a CRD do not see values without a type, a ValidatingAdmissionPolicy does. Only creations are checked, since `spec.training` cannot be changed. See
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
"""

from typing import Final

from finetune_api.arguments import RULES
from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL

NAME: Final = f"{PLURAL}.{GROUP}"
_GROUP_VERSION: Final = "admissionregistration.k8s.io/v1"
_WHERE: Final = "spec.training.arguments"


def admission_policy() -> list[JsonObject]:
    """Return the policy and its binding, as `kubectl apply` takes them."""
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
            "validations": [
                {
                    "expression": rule.cel,
                    "message": f"{_WHERE}: {rule.message}",
                }
                for rule in RULES
            ],
        },
    }
    binding = {
        "apiVersion": _GROUP_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
    return [policy, binding]
