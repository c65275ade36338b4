"""CustomResourceDefinitions: how Kubernetes validates them, and the resources that they define."""

import dataclasses
import re
from typing import Any

from devcluster.apiserver import jsonpath
from devcluster.apiserver.cel.rules import compile_rules
from devcluster.apiserver.errors import FieldError, forbidden_field, invalid_value, required, unsupported
from devcluster.apiserver.objects import Object, clone, timestamp
from devcluster.apiserver.resources import Column, Resource
from devcluster.apiserver.schemas.builtin import schema_of
from devcluster.apiserver.schemas.structural import apply_defaults, prune
from devcluster.apiserver.schemas.validation import compiled, validate

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"

_FORBIDDEN_WORDS = ("$ref", "id", "definitions", "dependencies", "patternProperties", "additionalItems")
# A real API server supports these. They are refused, not ignored, so that nobody relies on a check that is not made.
_UNKNOWN_WORDS = ("allOf", "anyOf", "oneOf", "not")
_UNKNOWN_FORMATS = ("byte", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
_RESTRICTABLE = ("name", "generateName")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def default_definition(crd: Object) -> None:
    """Fill in the names that a definition may leave out."""
    spec = crd.setdefault("spec", {})
    names = spec.get("names")
    if isinstance(names, dict) and isinstance(names.get("kind"), str):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    spec.setdefault("conversion", {"strategy": "None"})


def check_definition(crd: Object) -> list[FieldError]:
    """Return why Kubernetes would refuse this definition."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    errors: list[FieldError] = []
    errors += [required(f"spec.{field}") for field in ("group", "scope", "versions") if not spec.get(field)]
    errors += [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if errors:
        return errors
    wanted = f"{names['plural']}.{spec['group']}"
    if crd["metadata"].get("name") != wanted:
        detail = 'must be spec.names.plural+"."+spec.group'
        errors.append(invalid_value("metadata.name", crd["metadata"].get("name"), detail))
    if spec["scope"] not in ("Cluster", "Namespaced"):
        errors.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
    versions = spec["versions"]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", [v.get("name") for v in versions], detail))
    for index, version in enumerate(versions):
        errors += _check_version(version, index, alone=len(versions) == 1)
    return errors


def _check_version(version: Object, index: int, *, alone: bool) -> list[FieldError]:
    """Validate one version.

    The schema of a single version is called spec.validation, as in a real server's messages.
    """
    path = f"spec.versions[{index}]"
    errors: list[FieldError] = []
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", version.get("name") or ""):
        errors.append(invalid_value(f"{path}.name", version.get("name"), "a DNS-1035 label must start with a letter"))
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = "spec.validation.openAPIV3Schema" if alone else f"{path}.schema.openAPIV3Schema"
    if not isinstance(schema, dict):
        return [*errors, required(where, "schemas are required")]
    if schema.get("type") != "object":
        errors.append(_type_error(schema.get("type"), f"{where}.type"))
    errors += check_structural(schema, where)
    errors += _check_columns(version, path)
    if not errors:
        errors += compile_rules(schema, where)[1]
    return errors


def _check_columns(version: Object, path: str) -> list[FieldError]:
    errors = []
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        try:
            jsonpath.parse(column["jsonPath"])
        except ValueError as error:
            where = f"{path}.additionalPrinterColumns[{index}].jsonPath"
            errors.append(invalid_value(where, column["jsonPath"], str(error)))
    return errors


def _type_error(found: Any, path: str) -> FieldError:
    if not found:
        return required(path, "must be object at the root")
    return invalid_value(path, found, "must be object at the root")


def check_structural(schema: Object, path: str) -> list[FieldError]:
    """Return why a schema is not structural: types everywhere, no forbidden keywords, consistent lists and defaults."""
    errors = _check_words(schema, path)
    kind = schema.get("type")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if kind is None and not free and "$ref" not in schema:
        errors.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind is not None and kind not in _TYPES:
        errors.append(unsupported(f"{path}.type", kind, _TYPES))
    if schema.get("properties") and "additionalProperties" in schema:
        errors.append(
            forbidden_field(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
        )
    if kind == "array" and not isinstance(schema.get("items"), dict):
        errors.append(required(f"{path}.items", "must be specified"))
    errors += _check_list(schema, path)
    for name, child in (schema.get("properties") or {}).items():
        errors += check_structural(child, f"{path}.properties[{name}]")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            errors += check_structural(schema[word], f"{path}.{word}")
    if "default" in schema and not errors:
        errors += _check_default(schema, path)
    return errors


def _check_words(schema: Object, path: str) -> list[FieldError]:
    errors = [
        forbidden_field(f"{path}.{word}", f"{word} is not supported") for word in _FORBIDDEN_WORDS if word in schema
    ]
    errors += [
        forbidden_field(f"{path}.{word}", "the dev cluster does not know it")
        for word in _UNKNOWN_WORDS
        if word in schema
    ]
    if schema.get("format") in _UNKNOWN_FORMATS:
        errors.append(forbidden_field(f"{path}.format", f"the dev cluster does not know {schema['format']}"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{path}.uniqueItems", detail))
    if "pattern" in schema:
        try:
            compiled(schema["pattern"])
        except re.error as error:
            errors.append(
                invalid_value(f"{path}.pattern", schema["pattern"], f"must be a valid regular expression: {error}")
            )
    return errors


def _check_list(schema: Object, path: str) -> list[FieldError]:
    list_type = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys")
    if list_type is None:
        return [] if not keys else [forbidden_field(f"{path}.x-kubernetes-list-map-keys", "only for list-type map")]
    if list_type not in ("atomic", "set", "map"):
        return [unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "map", "set"))]
    if schema.get("type") != "array":
        return [
            invalid_value(f"{path}.type", schema.get("type"), "must be array if x-kubernetes-list-type is specified")
        ]
    if list_type != "map":
        return []
    items = schema.get("items") or {}
    if not keys:
        return [required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")]
    errors = []
    for index, key in enumerate(keys):
        where = f"{path}.x-kubernetes-list-map-keys[{index}]"
        child = (items.get("properties") or {}).get(key)
        if child is None:
            errors.append(invalid_value(where, key, "entries must all be names of item properties"))
        elif key not in (items.get("required") or ()) and "default" not in child:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            errors.append(required(f"{path}.items.properties[{key}].default", detail))
    return errors


def _check_default(schema: Object, path: str) -> list[FieldError]:
    value = clone(schema["default"])
    if dropped := prune(value, schema):
        return [invalid_value(f"{path}.default", schema["default"], f"contains unknown fields: {', '.join(dropped)}")]
    apply_defaults(value, schema)
    return [
        dataclasses.replace(error, field=f"{path}.default{error.field.removeprefix('<nil>')}")
        for error in validate(value, schema)
    ]


def with_established_status(crd: Object) -> Object:
    """Return the definition with the status that the API server sets: names accepted, established."""
    crd = clone(crd)
    spec, now = crd["spec"], timestamp()
    status = crd.setdefault("status", {})
    have = {condition["type"]: condition for condition in status.get("conditions") or ()}
    for kind, reason, message in (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ):
        have.setdefault(
            kind, {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        )
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    stored = status.get("storedVersions") or []
    status["conditions"] = list(have.values())
    status["acceptedNames"] = clone(spec["names"])
    status["storedVersions"] = stored if storage in stored else [*stored, storage]
    return crd


def resources_of(crd: Object) -> list[Resource]:
    """Return the resource in each version that the definition serves, newest first."""
    spec, names = crd["spec"], crd["spec"]["names"]
    served = [version for version in spec["versions"] if version.get("served")]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names["singular"],
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(version.get("subresources") or ()),
            custom_schema=with_object_fields(version["schema"]["openAPIV3Schema"]),
            rules=compile_rules(version["schema"]["openAPIV3Schema"])[0],
            columns=_columns(version),
            has_generation=True,
        )
        for version in sorted(served, key=lambda version: _priority(version["name"]), reverse=True)
    ]


def with_object_fields(schema: Object) -> Object:
    """Return a custom resource's schema with the fields of every object; metadata may restrict only the name."""
    properties = schema.get("properties") or {}
    meta = schema_of("V1ObjectMeta")
    restricted = (properties.get("metadata") or {}).get("properties") or {}
    names = {name: {**meta["properties"][name], **restricted[name]} for name in restricted if name in _RESTRICTABLE}
    whole = {
        **properties,
        "apiVersion": {"type": "string", "description": "The version of this object's schema."},
        "kind": {"type": "string", "description": "The kind of this object."},
        "metadata": {**meta, "properties": {**meta["properties"], **names}} if names else meta,
    }
    return {**schema, "properties": whole}


def _columns(version: Object) -> tuple[Column, ...]:
    declared = version.get("additionalPrinterColumns")
    if not declared:
        return (Column("Age", "date", ".metadata.creationTimestamp"),)
    return tuple(
        Column(
            name=column["name"],
            type=column["type"],
            json_path=column["jsonPath"],
            description=column.get("description") or "",
            format=column.get("format") or "",
            priority=column.get("priority") or 0,
        )
        for column in declared
    )


def _priority(version: str) -> tuple[int, int, int]:
    """Sort key for Kubernetes' order of versions: v2 before v1 before v1beta1 before v1alpha1 before anything else."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if not match:
        return (0, 0, 0)
    major, stage, minor = match.groups()
    return ({None: 3, "beta": 2, "alpha": 1}[stage], int(major), int(minor or 0))
