"""OpenAPI documents, which `kubectl explain`, `kubectl apply` and client-side validation read."""

import functools
import hashlib
import json
from collections.abc import Iterator

from devcluster.apiserver.errors import no_such_path
from devcluster.apiserver.objects import Object
from devcluster.apiserver.resources import Registry, Resource

_INTERNAL = ("x-model", "x-quantity")
_REFERENCES = "#/components/schemas/"
_VERBS = {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}

EMPTY_V2 = b"\n\x032.0"
"""A document of version 2 without definitions, as protobuf. kubectl reads it for a kind that version 3 does not have, and
says that there is no such kind when it is not there either."""


def index(registry: Registry) -> Object:
    """Return the document of /openapi/v3: the URL of each group and version, with a hash of its schemas."""
    paths = {}
    for group, version in dict.fromkeys((resource.group, resource.version) for resource in registry):
        path = _path_of(group, version)
        mark = json.dumps([(r.plural, r.custom_schema) for r in _of(registry, group, version)], default=str)
        digest = hashlib.sha256(mark.encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document_v3(registry: Registry, path: str) -> Object:
    """Return the document of /openapi/v3/api/v1 or /openapi/v3/apis/GROUP/VERSION. Raises ApiError 404."""
    for group, version in dict.fromkeys((resource.group, resource.version) for resource in registry):
        if _path_of(group, version) == path:
            return _document_v3(tuple(_of(registry, group, version)))
    raise no_such_path()


@functools.lru_cache(maxsize=64)
def _document_v3(resources: tuple[Resource, ...]) -> Object:
    schemas: Object = {}
    for resource in resources:
        _define(resource, schemas)
    paths = {url: item for resource in resources for url, item in _paths(resource)}
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _of(registry: Registry, group: str, version: str) -> Iterator[Resource]:
    return (resource for resource in registry if (resource.group, resource.version) == (group, version))


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _definition_name(resource: Resource) -> str:
    if resource.is_custom:
        return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    return _model_name(resource.model)


def _model_name(model: str) -> str:
    """Return `io.k8s.api.v1.JobSpec` for `V1JobSpec`: kubectl shows the last part as the type."""
    for prefix in ("V1", "CoreV1", "EventsV1"):
        if model.startswith(prefix):
            return f"io.k8s.api.{prefix.lower()}.{model.removeprefix(prefix)}"
    return f"io.k8s.api.{model}"


def _define(resource: Resource, schemas: Object) -> None:
    """Add a resource's schema, and every model that it refers to."""
    name = _definition_name(resource)
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schema = _emitted(resource.schema, schemas, at_root=True)
    schemas[name] = {**schema, "x-kubernetes-group-version-kind": [kind]}


def _emitted(schema: Object, schemas: Object, *, at_root: bool = False) -> Object:
    """Return a schema for OpenAPI: models by reference, without our own keywords."""
    model = schema.get("x-model")
    if model and not at_root:
        name = _model_name(model)
        if name not in schemas:
            schemas[name] = {}  # for a model that refers to itself
            whole = _emitted({word: item for word, item in schema.items() if word not in _OUTER}, schemas, at_root=True)
            schemas[name] = whole
        outer = {word: schema[word] for word in _OUTER if word in schema}
        return {**outer, "allOf": [{"$ref": _REFERENCES + name}], "default": {}}
    emitted: Object = {}
    for word, value in schema.items():
        if word in _INTERNAL:
            continue
        if word == "properties":
            emitted[word] = {name: _emitted(child, schemas) for name, child in value.items()}
        elif word in ("items", "additionalProperties") and isinstance(value, dict):
            emitted[word] = _emitted(value, schemas)
        elif (word, value) == ("format", "micro-time"):
            emitted[word] = "date-time"
        elif word == "x-kubernetes-int-or-string":
            emitted |= {"x-kubernetes-int-or-string": True}
            emitted.setdefault("oneOf", [{"type": "integer"}, {"type": "string"}])
        else:
            emitted[word] = value
    return emitted


# Keywords of the field, not of the model that it refers to.
_OUTER = ("description", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy")


def _paths(resource: Resource) -> Iterator[tuple[str, Object]]:
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    base = f"/{_path_of(resource.group, resource.version)}{scope}/{resource.plural}"
    yield base, _item(resource, {"get": "list", "post": "post"})
    if len(resource.verbs) > 1:
        yield f"{base}/{{name}}", _item(resource, _VERBS)
    for name in resource.subresources:
        if name == "status":
            yield f"{base}/{{name}}/status", _item(resource, {"get": "get", "put": "update", "patch": "patch"})


def _item(resource: Resource, verbs: dict[str, str]) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    item: Object = {}
    for method, action in verbs.items():
        parameters = [_parameter("fieldValidation"), _parameter("dryRun"), _parameter("fieldManager")]
        item[method] = {
            "operationId": f"{action}{resource.group}{resource.version}{resource.kind}",
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": parameters if method in ("post", "put", "patch") else [],
            "responses": {"200": {"description": "OK", **_content(_definition_name(resource))}},
        }
    return item


def _parameter(name: str) -> Object:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def _content(name: str) -> Object:
    return {"content": {"application/json": {"schema": {"$ref": _REFERENCES + name}}}}
