"""Schemas of the built-in kinds, derived from the models of the official Python client.

The client's pydantic models carry every field, its type and its description. What they lack is how lists merge: that is
the table below (from the listType, listMapKey, patchStrategy and structType markers of Kubernetes' own types).
"""

import datetime
import functools
import importlib
import types
import typing
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from devcluster.apiserver.objects import Object

# model.field -> the keys of a list whose items are merged by them.
_MAP_LISTS: dict[str, tuple[str, ...]] = {
    "V1Container.env": ("name",),
    "V1Container.ports": ("containerPort", "protocol"),
    "V1Container.volumeDevices": ("devicePath",),
    "V1Container.volumeMounts": ("mountPath",),
    "V1CustomResourceDefinitionStatus.conditions": ("type",),
    "V1DeploymentStatus.conditions": ("type",),
    "V1NamespaceStatus.conditions": ("type",),
    "V1NodeStatus.addresses": ("type",),
    "V1NodeStatus.conditions": ("type",),
    "V1ObjectMeta.ownerReferences": ("uid",),
    "V1PersistentVolumeClaimStatus.conditions": ("type",),
    "V1PodSpec.containers": ("name",),
    "V1PodSpec.ephemeralContainers": ("name",),
    "V1PodSpec.hostAliases": ("ip",),
    "V1PodSpec.imagePullSecrets": ("name",),
    "V1PodSpec.initContainers": ("name",),
    "V1PodSpec.resourceClaims": ("name",),
    "V1PodSpec.schedulingGates": ("name",),
    "V1PodSpec.topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "V1PodSpec.volumes": ("name",),
    "V1PodStatus.conditions": ("type",),
    "V1PodStatus.hostIPs": ("ip",),
    "V1PodStatus.podIPs": ("ip",),
    "V1ResourceRequirements.claims": ("name",),
    "V1ServiceAccount.secrets": ("name",),
    "V1ServiceSpec.ports": ("port", "protocol"),
    "V1ServiceStatus.conditions": ("type",),
}
_SET_LISTS = {
    "V1NodeSpec.podCIDRs",
    "V1ObjectMeta.finalizers",
    "V1PodFailurePolicyOnExitCodesRequirement.values",
}
# A strategic merge patch merges by one key only, and merges some lists that apply treats as one value.
_PATCH_KEYS: dict[str, str] = {
    **{name: keys[0] for name, keys in _MAP_LISTS.items()},
    "V1JobStatus.conditions": "type",
    "V1ServiceAccount.imagePullSecrets": "name",
}
_PATCH_SETS = {"V1ObjectMeta.finalizers"}
_ATOMIC_OBJECTS = {
    "V1ConfigMapKeySelector",
    "V1FileKeySelector",
    "V1LabelSelector",
    "V1LocalObjectReference",
    "V1NodeSelector",
    "V1NodeSelectorTerm",
    "V1ObjectFieldSelector",
    "V1ObjectReference",
    "V1OwnerReference",
    "V1ResourceFieldSelector",
    "V1SecretKeySelector",
    "V1SecretReference",
    "V1TypedLocalObjectReference",
}
_ATOMIC_MAPS = {"V1PodSpec.nodeSelector", "V1ServiceSpec.selector"}
_DEFAULTS = {"V1ContainerPort.protocol": "TCP", "V1ServicePort.protocol": "TCP"}
_QUANTITY_MAPS = {"limits", "requests", "capacity", "allocatable", "overhead", "hard", "allocatedResources"}
_QUANTITIES = {"sizeLimit", "divisor"}
_JSON_SCHEMA = "V1JSONSchemaProps"

_QUANTITY: Object = {"x-kubernetes-int-or-string": True, "x-quantity": True}


@functools.cache
def schema_of(model: str) -> Object:
    """Return the schema of a model such as `V1Pod`. Nodes are shared and must not be changed.

    Beside JSON Schema and x-kubernetes-* keywords a node names its model (`x-model`), for OpenAPI's `$ref`s.
    """
    return _json_schema_props() if model == _JSON_SCHEMA else _object_schema(_model_class(model))


@functools.cache
def _json_schema_props() -> Object:
    """Return the schema of schemas, which contains itself."""
    free: Object = {"x-kubernetes-preserve-unknown-fields": True}
    schema: Object = {"type": "object", "x-model": _JSON_SCHEMA}
    properties: Object = {
        info.serialization_alias or info.alias or attribute: free
        for attribute, info in _model_class(_JSON_SCHEMA).model_fields.items()
    }
    untyped = {"properties": properties, "x-model": "V1JSONSchemaPropsOrBool"}
    properties |= {word: {"type": "boolean"} for word in ("exclusiveMinimum", "exclusiveMaximum", "nullable")}
    properties |= {word: {"type": "object", "additionalProperties": schema} for word in ("properties", "definitions")}
    properties |= {word: {"type": "array", "items": schema} for word in ("allOf", "anyOf", "oneOf")}
    properties |= {"not": schema, "items": untyped, "additionalProperties": untyped}
    properties["required"] = {"type": "array", "items": {"type": "string"}}
    properties["x-kubernetes-validations"] = {"type": "array", "items": schema_of("V1ValidationRule")}
    schema["properties"] = properties
    return schema


def _model_class(name: str) -> type[BaseModel]:
    return cast("type[BaseModel]", getattr(importlib.import_module("kubernetes.client.models"), name))


def _object_schema(model: type[BaseModel]) -> Object:
    properties: Object = {}
    required: list[str] = []
    for attribute, info in model.model_fields.items():
        name = info.serialization_alias or info.alias or attribute
        properties[name] = _field_schema(f"{model.__name__}.{name}", info)
        if info.is_required():
            required.append(name)
    schema: Object = {"type": "object", "properties": properties, "x-model": model.__name__}
    if text := (model.__doc__ or "").split("\n\n    Attributes:")[0].strip():
        schema["description"] = text
    if required:
        schema["required"] = sorted(required)
    if model.__name__ in _ATOMIC_OBJECTS:
        schema["x-kubernetes-map-type"] = "atomic"
    return schema


def _field_schema(where: str, info: FieldInfo) -> Object:
    name = where.partition(".")[2]
    schema = dict(_type_schema(info.annotation, name))
    if info.description:
        schema["description"] = info.description
    if where in _MAP_LISTS:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(_MAP_LISTS[where])}
    if where in _SET_LISTS:
        schema["x-kubernetes-list-type"] = "set"
    if where in _PATCH_KEYS:
        schema |= {"x-kubernetes-patch-merge-key": _PATCH_KEYS[where], "x-kubernetes-patch-strategy": "merge"}
    if where in _PATCH_SETS:
        schema["x-kubernetes-patch-strategy"] = "merge"
    if where == "V1PodSpec.volumes":
        schema["x-kubernetes-patch-strategy"] = "merge,retainKeys"
    if where == "V1DeploymentSpec.strategy":
        schema["x-kubernetes-patch-strategy"] = "retainKeys"
    if where in _ATOMIC_MAPS:
        schema["x-kubernetes-map-type"] = "atomic"
    if where in _DEFAULTS:
        schema["default"] = _DEFAULTS[where]
    return schema


def _type_schema(annotation: Any, name: str) -> Object:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_schema(arguments[0], name)
    if origin in (typing.Union, types.UnionType):
        options = [argument for argument in arguments if argument is not type(None)]
        return _type_schema(options[0], name) if len(options) == 1 else _union_schema(options)
    if origin is list:
        return {"type": "array", "items": _type_schema(arguments[0], name)}
    if origin is dict:
        value = _QUANTITY if name in _QUANTITY_MAPS else _type_schema(arguments[1], "")
        return {"type": "object", "additionalProperties": value}
    if name in _QUANTITIES:
        return _QUANTITY
    if isinstance(annotation, type):
        return _class_schema(annotation, name)
    return {"x-kubernetes-preserve-unknown-fields": True}


def _union_schema(options: list[Any]) -> Object:
    plain = {typing.get_args(option)[0] if typing.get_args(option) else option for option in options}
    if plain == {int, str}:
        return {"x-kubernetes-int-or-string": True}
    if plain == {int, float}:
        return {"type": "number"}
    if plain == {bytes, str}:
        return {"type": "string", "format": "byte"}
    return {"x-kubernetes-preserve-unknown-fields": True}


def _class_schema(annotation: type, name: str) -> Object:
    if issubclass(annotation, BaseModel):
        return schema_of(annotation.__name__)
    if issubclass(annotation, datetime.datetime):
        micro = name in ("acquireTime", "renewTime", "eventTime", "lastObservedTime")
        return {"type": "string", "format": "micro-time" if micro else "date-time", "nullable": True}
    scalar = {str: "string", bool: "boolean", int: "integer", float: "number"}.get(annotation)
    if scalar:
        return {"type": scalar}
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
