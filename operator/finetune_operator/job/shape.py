"""Whether the fields of a Job or pod are of the types that Kubernetes gives them. Of an object whose are not, nothing is believed."""

from typing import Any, Final

from finetune_api.base import JsonObject

_OBJECTS: Final = ("metadata", "spec", "template", "state", "running", "waiting", "terminated")
_TEXTS: Final = (
    *("namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "apiVersion", "kind"),
    *("type", "reason", "message", "lastTransitionTime", "startTime", "completionTime", "startedAt", "finishedAt"),
    *("phase", "nodeName", "nominatedNodeName", "podIP", "image"),
)
_LISTS: Final = ("ownerReferences", "conditions", "containers", "containerStatuses", "initContainerStatuses")
_MAPS: Final = ("labels", "annotations")
_KINDS: Final[dict[str, type]] = {
    **dict.fromkeys((*_OBJECTS, *_MAPS), dict),
    **dict.fromkeys((*_LISTS, "finalizers"), list),
    **dict.fromkeys(_TEXTS, str),
}
_NEEDED: Final = ("namespace", "name", "uid")


def checked(trimmed: JsonObject) -> JsonObject:
    """The part of an object that is read. Raises TypeError where a field of it is of another type than it must be."""
    status, metadata = trimmed.get("status"), trimmed["metadata"]
    if not isinstance(status, dict | None):
        raise TypeError("status is no object")
    if not all(isinstance(metadata.get(name), str) for name in _NEEDED):
        raise TypeError("metadata lacks a name")
    _check(trimmed)
    _check(status or {})
    return trimmed


def _check(fields: JsonObject) -> None:
    for name, value in fields.items():
        kind = _KINDS.get(name)
        if kind is None or value is None:
            continue
        if not isinstance(value, kind):
            raise TypeError(f"{name} is of the wrong type, {type(value).__name__}")
        if isinstance(value, dict):
            _check_map(name, value) if name in _MAPS else _check(value)
        elif isinstance(value, list):
            _check_items(name, value)


def _check_map(name: str, value: dict[str, Any]) -> None:
    if not all(isinstance(each, str) for each in value.values()):
        raise TypeError(f"{name} holds what is no text")


def _check_items(name: str, items: list[Any]) -> None:
    kind = str if name == "finalizers" else dict
    for item in items:
        if not isinstance(item, kind):
            raise TypeError(f"{name} holds an item of the wrong type, {type(item).__name__}")
        if isinstance(item, dict):
            _check(item)
