"""The kinds of rules of a FineTuneProfile, each in CEL for the admission policy and in Python for the operator.

A rule is about what a job names itself: what the profile gives by default needs not be allowed. Its message names the
field, the rule and what is allowed, and is the same on both sides. `profile_table` has the rules themselves.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from finetune_api.labels import LabelSelector, Requirement
from finetune_api.profile import DEFAULT_NAME, NAMESPACE_LABEL, Allow, FineTuneProfileSpec, Limits, NotifyRules
from finetune_api.quantity import parse_quantity
from finetune_api.v1alpha1 import FineTuneJobSpec

_LONGEST_LIST: Final = 600
"""Characters of what is allowed that a message shows."""


@dataclass(frozen=True)
class Request:
    """A FineTuneJob that somebody wants to run, and where."""

    spec: FineTuneJobSpec
    name: str
    namespace: str
    namespace_labels: Mapping[str, str]

    @property
    def profile(self) -> str:
        """Name of its profile."""
        return self.spec.profile or self.namespace_labels.get(NAMESPACE_LABEL) or DEFAULT_NAME


Problem = Callable[[Request, FineTuneProfileSpec], str | None]


@dataclass(frozen=True)
class ProfileRule:
    """One rule over a job (`object` in CEL) and its profile (`params`)."""

    holds: str
    """What must hold, in CEL."""
    wording: str
    """What is wrong and what is allowed, in CEL."""
    problem: Problem
    """The same wording in Python, or None where the rule holds."""
    changeable: str | None = None
    """Path of a field that may change while the job runs: then the rule is also checked on an update that changes it."""


def matches(glob: str, text: str) -> bool:
    """Whether a glob means this text: `*` is any text, also none, and all else is itself."""
    first, *parts = glob.split("*")
    if not parts:
        return text == glob
    if not text.startswith(first):
        return False
    position = len(first)
    for part in parts[:-1]:
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return text.endswith(parts[-1]) and len(text) - len(parts[-1]) >= position


def cel_variables() -> dict[str, str]:
    """Return the CEL of each variable that the rules share, by its name; each may use those before it."""
    variables = {
        "namespaceLabels": "namespaceObject.metadata.?labels.orValue({})",
        "matchLabels": "params.spec.?namespaces.?matchLabels.orValue({})",
        "matchExpressions": "params.spec.?namespaces.?matchExpressions.orValue([])",
    }
    # What is literal is quoted: no glob holds a backslash, and no name anything that is special.
    literal = "glob.replace('{namespace}', object.metadata.namespace).replace('{name}', object.metadata.name)"
    for name, path in _PATHS.items():
        variables[name] = f"params.spec.?{path.replace('.', '.?')}.orValue([])"
        variables[f"{name}Pattern"] = (
            rf"r'^(?s:\Q' + variables.{name}.map(glob, {literal}.replace('*', r'\E.*\Q')).join(r'\E|\Q') + r'\E)$'"
        )
    return variables


@cache
def _wire_names(model: type[Allow | Limits | NotifyRules]) -> dict[str, str]:
    """Names of the attributes of a model by their names on the wire."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


_PATHS: Final = {
    **{
        name: f"allow.{name}"
        for name, attribute in _wire_names(Allow).items()
        if isinstance(Allow.model_fields[attribute].default, list)
    },
    "notifyHosts": "notify.hosts",
    "notifyPrivateHosts": "notify.privateHosts",
}
"""Where in a profile's spec each list of globs is, by its name in CEL."""


def _globs(profile: FineTuneProfileSpec, name: str) -> list[str]:
    section, _, wire_name = _PATHS[name].partition(".")
    part = profile.allow if section == "allow" else profile.notify
    globs: list[str] = getattr(part, _wire_names(type(part))[wire_name])
    return globs


def is_meant(value: str, globs: Iterable[str], namespace: str, name: str) -> bool:
    """Whether one of the globs of a profile means this text, for a job of this namespace and name."""
    return any(matches(each.replace("{namespace}", namespace).replace("{name}", name), value) for each in globs)


def _listed(items: Iterable[str]) -> str:
    text = ", ".join(items) or "nothing"
    return text if len(text) <= _LONGEST_LIST else text[:_LONGEST_LIST] + "..."


def _cel_listed(items: str) -> str:
    text = f"{items}.join(', ')"
    return (
        f"(size({items}) == 0 ? 'nothing' : size({text}) <= {_LONGEST_LIST} ? {text}"
        f" : {text}.substring(0, {_LONGEST_LIST}) + '...')"
    )


def allowed(
    name: str,
    field: str,
    values: Callable[[FineTuneJobSpec], Iterable[str | None]],
    cel_values: str,
    *,
    changeable: str | None = None,
) -> ProfileRule:
    """Each value that a job has in a field is meant by an entry of the list of this name, which is one of `_PATHS`."""

    def problem(request: Request, profile: FineTuneProfileSpec) -> str | None:
        globs = _globs(profile, name)
        for value in values(request.spec):
            if value is not None and not is_meant(value, globs, request.namespace, request.name):
                return f"{field} {value} is not allowed; {_PATHS[name]} has {_listed(globs)}"
        return None

    return ProfileRule(
        holds=f"{cel_values}.all(each, each.matches(variables.{name}Pattern))",
        wording=f"'{field} ' + {cel_values}.filter(each, !each.matches(variables.{name}Pattern))[0]"
        f" + ' is not allowed; {_PATHS[name]} has ' + {_cel_listed(f'variables.{name}')}",
        problem=problem,
        changeable=changeable,
    )


def at_most(
    name: str, field: str, value: Callable[[FineTuneJobSpec], str | int | None], *, changeable: bool = False
) -> ProfileRule:
    """The amount that a job has in a field is at most `limits.<name>`: a number, or a quantity of Kubernetes."""
    attribute = _wire_names(Limits)[name]
    asked, limit = f"object.{field.replace('.', '.?')}", f"params.spec.?limits.?{name}"
    holds = f"{asked}.value() <= {limit}.value()"
    if name in _QUANTITIES:
        holds = f"quantity(string({asked}.value())).compareTo(quantity(string({limit}.value()))) <= 0"

    def problem(request: Request, profile: FineTuneProfileSpec) -> str | None:
        most, wanted = getattr(profile.limits, attribute), value(request.spec)
        if most is None or wanted is None or parse_quantity(str(wanted)) <= parse_quantity(str(most)):
            return None
        return f"{field} {wanted} is too much; limits.{name} is {most}"

    return ProfileRule(
        holds=f"!{asked}.hasValue() || !{limit}.hasValue() || {holds}",
        wording=f"'{field} ' + string({asked}.value()) + ' is too much; limits.{name} is ' + string({limit}.value())",
        problem=problem,
        changeable=asked if changeable else None,
    )


_QUANTITIES: Final = ("cpu", "memory", "outputSize")


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels is selected."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _meets(requirement, labels) for requirement in selector.match_expressions
    )


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values


def _not_selected(request: Request, profile: FineTuneProfileSpec) -> str | None:
    selector = profile.namespaces
    if selects(selector, request.namespace_labels):
        return None
    wanted = [f"{key}={value}" for key, value in selector.match_labels.items()]
    wanted += [
        " ".join([each.key, each.operator, *([f"({', '.join(each.values)})"] if each.values else [])])
        for each in selector.match_expressions
    ]
    return f"namespace {request.namespace} may not have this profile; namespaces has {_listed(wanted)}"


_VALUE = "(each.key in variables.namespaceLabels && variables.namespaceLabels[each.key] in each.?values.orValue([]))"
NAMESPACES: Final = ProfileRule(
    holds="variables.matchLabels.all(key, key in variables.namespaceLabels"
    " && variables.namespaceLabels[key] == variables.matchLabels[key])"
    " && variables.matchExpressions.all(each, each.operator == 'Exists' ? each.key in variables.namespaceLabels"
    " : each.operator == 'DoesNotExist' ? !(each.key in variables.namespaceLabels)"
    f" : each.operator == 'In' ? {_VALUE} : !{_VALUE})",
    wording="'namespace ' + object.metadata.namespace + ' may not have this profile; namespaces has ' + "
    + _cel_listed(
        "(variables.matchLabels.map(key, key + '=' + variables.matchLabels[key])"
        " + variables.matchExpressions.map(each, each.key + ' ' + each.operator"
        " + (size(each.?values.orValue([])) == 0 ? '' : ' (' + each.values.join(', ') + ')')))"
    ),
    problem=_not_selected,
)
