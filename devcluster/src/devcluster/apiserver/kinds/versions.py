"""Conversion between the stored object and each version that serves it.

Versions of a custom resource differ in apiVersion alone (strategy None); Events are served by two groups whose fields
have different names."""

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
    """Return a stored object in this version of the resource."""
    if resource.group == "events.k8s.io":
        obj = {_EVENT_FIELDS.get(name, name): value for name, value in obj.items()}
    if obj.get("apiVersion") == resource.api_version:
        return obj
    return {**obj, "apiVersion": resource.api_version}


def stored(resource: Resource, obj: Object) -> Object:
    """Return an object of this version in the version that is stored."""
    if resource.group != "events.k8s.io":
        return obj
    names = {other: core for core, other in _EVENT_FIELDS.items()}
    return {**{names.get(name, name): value for name, value in obj.items()}, "apiVersion": "v1"}
