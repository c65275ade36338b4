"""Label and field selectors of list and watch."""

import re
from collections.abc import Callable
from typing import Any

from devcluster.apiserver.errors import bad_request
from devcluster.apiserver.objects import Object, lookup

Predicate = Callable[[Object], bool]

_SET_BASED = re.compile(r"^([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)$")
_EQUALITY = re.compile(r"^([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)$")
_PRESENCE = re.compile(r"^(!?)\s*([^\s!=,()]+)$")

# Fields that selectors of a kind may use beside metadata.name and metadata.namespace.
FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("events.k8s.io", "events"): (
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "reason",
        "type",
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("batch", "jobs"): ("status.successful",),
}


def label_selector(text: str) -> Predicate:
    """`a=b,c!=d,e in (f,g),!h,i` as a predicate. Raises ApiError 400 if it cannot be parsed."""
    checks = [_label_check(part) for part in _split(text)]
    return lambda obj: all(check(obj["metadata"].get("labels") or {}) for check in checks)


def field_selector(text: str, fields: tuple[str, ...]) -> Predicate:
    """`metadata.name=x,status.phase!=Failed` as a predicate. Raises ApiError 400 for other fields."""
    checks: list[Predicate] = []
    for part in _split(text):
        match = re.match(r"^\s*([^\s!=]+)\s*(==|=|!=)\s*(.*?)\s*$", part)
        if not match:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path, operator, wanted = match.groups()
        if path not in ("metadata.name", "metadata.namespace", *fields):
            if fields:
                raise bad_request(f"field label not supported: {path}")
            raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        checks.append(_field_check(path, wanted, operator != "!="))
    return lambda obj: all(check(obj) for check in checks)


def _field_check(path: str, wanted: str, equal: bool) -> Predicate:
    return lambda obj: (_text(lookup(obj, path)) == wanted) == equal


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _split(text: str) -> list[str]:
    """Split at the commas between requirements, not at those inside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_check(part: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET_BASED.match(part):
        name, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: name in labels and labels[name] in values
        return lambda labels: name not in labels or labels[name] not in values
    if match := _EQUALITY.match(part):
        name, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(name) != value
        return lambda labels: labels.get(name) == value
    if match := _PRESENCE.match(part):
        absent, name = match.groups()
        return lambda labels: (name in labels) != bool(absent)
    found = part.split()[1] if len(part.split()) > 1 else part
    raise bad_request(f"unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=")
