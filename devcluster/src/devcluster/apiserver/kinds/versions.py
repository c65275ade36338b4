"""One stored object in each version that serves it. Custom resources differ in apiVersion only (strategy None);
events stand in two groups whose fields have other names."""

from devcluster.apiserver.objects import Object
from devcluster.apiserver.resources import Resource

# core/v1 Event -> events.k8s.io/v1 Event
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def served(resource: Resource, obj: Object) -> Object:
    """A stored object as this version of the resource shows it."""
    if resource.group == "events.k8s.io":
        obj = {_EVENT_FIELDS.get(name, name): value for name, value in obj.items()}
    if obj.get("apiVersion") == resource.api_version:
        return obj
    return {**obj, "apiVersion": resource.api_version}


def stored(resource: Resource, obj: Object) -> Object:
    """An object of this version as it is kept."""
    if resource.group != "events.k8s.io":
        return obj
    names = {other: core for core, other in _EVENT_FIELDS.items()}
    return {**{names.get(name, name): value for name, value in obj.items()}, "apiVersion": "v1"}
