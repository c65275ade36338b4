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
ORPHANS_NAME: Final = f"orphans.{NAME}"
PROFILE_SIZE_NAME: Final = f"size.{PROFILE_NAME}"
MAX_SPEC_BYTES: Final = 64 * 1024
"""Most that the spec of a FineTuneJob or FineTuneProfile has as JSON."""
MAX_KEPT_BYTES: Final = 15_000
"""Most of a FineTuneProfile that a job keeps. MAX_PROFILE_SETTINGS has room for what is left out besides: keys of empty fields."""
_GROUP_VERSION: Final = "admissionregistration.k8s.io/v1"
_BEGINS: Final = "oldObject == null || object.spec.?runToken.orValue('') != oldObject.spec.?runToken.orValue('')"
"""CEL: whether the request asks for a run, the first or, by another runToken, one that follows."""
_WHERE: Final = "spec.training.arguments"


def admission_policies() -> list[JsonObject]:
    """Return the policies, each followed by its binding, as `kubectl apply` takes them."""
    parameters = {"selector": {}, "parameterNotFoundAction": "Allow"}
    return [
        _policy(NAME, _arguments()),
        _binding(NAME),
        _policy(PROFILE_NAME, _profile()),
        _binding(PROFILE_NAME, paramRef=parameters),
        _policy(PROFILE_SIZE_NAME, _profile_size()),
        _binding(PROFILE_SIZE_NAME),
        _policy(ORPHANS_NAME, _orphans()),
        _binding(ORPHANS_NAME),
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


def _on(*operations: str, plural: str = PLURAL) -> JsonObject:
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": [*operations], "resources": [plural]}
    return {"resourceRules": [rule]}


# What `format` writes is JSON but for its escapes, which are shorter, and for numbers with a fraction, of which it writes six
# digits. All three are counted as the longest that they can be, so that no spec that is taken has more bytes as the API
# server sends it.
_SPEC_VARIABLES: Final = [
    {"name": "text", "expression": "'%s'.format([dyn(object.spec)])"},
    {
        "name": "size",
        "expression": r"size(bytes(variables.text)) + 5 * size(variables.text.findAll(r'[<>&]|\\[abfvx]'))"
        r" + 16 * size(variables.text.findAll(r'\.[0-9]{6}[,}\]]'))",
    },
]
_SPEC_FITS: Final = {
    "expression": f"variables.size <= {MAX_SPEC_BYTES}",
    "messageExpression": f"'spec: takes ' + string(variables.size) + ' bytes as JSON, and at most {MAX_SPEC_BYTES} fit'",
}


def _profile_size() -> JsonObject:
    # What is not ASCII is escaped where it is kept.
    kept = " + ".join(
        f"'%s'.format([dyn(object.spec.?{field.alias}.orValue(dyn(null)))])"
        for field in profile.ProfileSettings.model_fields.values()
    )
    size = r"size(bytes(variables.kept)) + 5 * size(variables.kept.findAll(r'\\[abfvx]'))"
    variables = [
        {"name": "kept", "expression": kept},
        {"name": "keptSize", "expression": rf"{size} + 8 * size(variables.kept.findAll(r'[^\x00-\x7f]'))"},
    ]
    fits = {
        "expression": f"variables.keptSize <= {MAX_KEPT_BYTES}",
        "messageExpression": "'spec: all but allow and namespaces takes ' + string(variables.keptSize)"
        f" + ' bytes as JSON, and at most {MAX_KEPT_BYTES} fit, since each job keeps it'",
    }
    return {
        "matchConstraints": _on("CREATE", "UPDATE", plural=profile.PLURAL),
        "variables": [*_SPEC_VARIABLES, *variables],
        "validations": [_SPEC_FITS, fits],
    }


def _arguments() -> JsonObject:
    """The rules about what changes with a run alone: all of the spec together, `spec.training.arguments`, and the namespace."""
    there = "has(object.spec.training) && has(object.spec.training.arguments)"
    return {
        "matchConstraints": _on("CREATE", "UPDATE"),
        "matchConditions": [{"name": "a-run-begins", "expression": _BEGINS}],
        "variables": [
            {"name": "arguments", "expression": f"{there} ? object.spec.training.arguments : dyn({{}})"},
            *_SPEC_VARIABLES,
        ],
        "validations": [
            # Where the operator's account may write nothing.
            {
                "expression": "!request.namespace.startsWith('kube-')",
                "message": "FineTuneJobs are not served in namespaces kube-*",
            },
            *({"expression": rule.cel, "message": f"{_WHERE}: {rule.message}"} for rule in RULES),
            _SPEC_FITS,
        ],
    }


def _orphans() -> JsonObject:
    """A FineTuneJob takes its run with it: by itself that would train on, and nobody would count what it uses, or end it."""
    asked = "request.?options.?propagationPolicy.orValue('') == 'Orphan' || request.?options.?orphanDependents.orValue(false)"
    bears, bore = (f"'orphan' in {each}.metadata.?finalizers.orValue([])" for each in ("object", "oldObject"))
    holds = f"request.operation == 'DELETE' ? !({asked}) : !({bears}) || (oldObject != null && {bore})"
    return {
        "matchConstraints": _on("CREATE", "UPDATE", "DELETE"),
        "validations": [
            {
                "expression": holds,
                "message": "a FineTuneJob is not deleted without its run: leave out --cascade=orphan and the finalizer orphan",
            }
        ],
    }


# All that is seen here, where neither variables nor the namespace's labels are: it spares the profiles that are not meant.
_MAY_BE_OWN: Final = (
    "request.operation == 'UPDATE' || !object.spec.?profile.hasValue() || params.metadata.name == object.spec.profile"
)


def _profile() -> JsonObject:
    """The rules of a FineTuneProfile. Each profile is a parameter, and they speak where it is the job's own."""
    # A job that runs keeps the profile that it began with, whatever its namespace is labelled with now.
    frozen = "!variables.begins && oldObject.?status.?profile.?name.hasValue() ? oldObject.status.profile.name"
    labelled = f"variables.namespaceLabels[?'{profile.NAMESPACE_LABEL}'].orValue('')"
    named = f"object.spec.?profile.hasValue() ? object.spec.profile : {labelled} != '' ? {labelled}"
    variables = {
        **cel_variables(),
        "begins": _BEGINS,
        "profile": f"{frozen} : {named} : '{profile.DEFAULT_NAME}'",
        "own": "params.metadata.name == variables.profile",
    }
    return {
        "paramKind": {"apiVersion": API_VERSION, "kind": profile.KIND},
        "matchConstraints": _on("CREATE", "UPDATE"),
        "matchConditions": [{"name": "it-may-be-the-job-s-own", "expression": _MAY_BE_OWN}],
        "variables": [{"name": name, "expression": expression} for name, expression in variables.items()],
        "validations": [_validation(rule) for rule in PROFILE_RULES],
    }


def _validation(rule: ProfileRule) -> JsonObject:
    silent = "!variables.begins"
    if rule.changeable:
        silent = f"({silent} && {rule.changeable} == old{rule.changeable.replace('object', 'Object', 1)})"
    return {
        "expression": f"!variables.own || {silent} || ({rule.holds})",
        # A message is put together whether it is needed or not, for each profile.
        "messageExpression": f"!variables.own ? '' : 'profile ' + params.metadata.name + ': ' + {rule.wording}",
    }
