"""What the API server does to a value before it validates it: find and prune unknown fields, fill in defaults."""

from typing import Any

from devcluster.apiserver.objects import Object, clone

# Metadata and type are Kubernetes' own, in every object and every embedded resource.
_TYPE_META: Object = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}


def child_schema(schema: Object, name: str) -> Object | None:
    """Return the schema of field or key `name`; None if the schema does not know it."""
    known = (schema.get("properties") or {}).get(name)
    if known is not None:
        return dict_or_none(known)
    if schema.get("x-kubernetes-embedded-resource") and name in _TYPE_META:
        return dict_or_none(_TYPE_META[name])
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return additional
    return {} if additional is True else None


def dict_or_none(value: Any) -> Object | None:
    return value if isinstance(value, dict) else None


def keeps_unknown(schema: Object) -> bool:
    """Return whether fields that the schema does not name are stored unchanged."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return True
    return "type" not in schema and "properties" not in schema and not schema.get("x-kubernetes-int-or-string")


def prune(value: Any, schema: Object, path: str = "") -> list[str]:
    """Delete in place every field that the schema does not know; return their paths."""
    dropped: list[str] = []
    if isinstance(value, dict):
        for name in list(value):
            child = child_schema(schema, name)
            here = f"{path}.{name}" if path else name
            if child is not None:
                dropped += prune(value[name], child, here)
            elif schema.get("x-kubernetes-embedded-resource") and name == "metadata":
                continue
            elif not keeps_unknown(schema):
                del value[name]
                dropped.append(here)
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                dropped += prune(item, items, f"{path}[{index}]")
    return dropped


def apply_defaults(value: Any, schema: Object) -> None:
    """Fill in defaults in place; a null that is not allowed is replaced by the default, or deleted."""
    if isinstance(value, dict):
        named = schema.get("properties") or {}
        for name, child in named.items():
            _default_field(value, name, child)
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            for name in [name for name in value if name not in named]:
                _default_field(value, name, additional)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        items = schema["items"]
        for index, item in enumerate(value):
            if item is None and "default" in items and not items.get("nullable"):
                value[index] = clone(items["default"])
            apply_defaults(value[index], items)


def _default_field(holder: Object, name: str, schema: Object) -> None:
    if name in holder and holder[name] is None and not schema.get("nullable"):
        del holder[name]
    if name not in holder and "default" in schema:
        holder[name] = clone(schema["default"])
    if name in holder:
        apply_defaults(holder[name], schema)


def drop_nulls(value: Any, schema: Object) -> None:
    """Delete in place the nulls of a built-in kind, which Go's decoder reads as absent; times may be null."""
    if isinstance(value, dict):
        for name in list(value):
            child = child_schema(schema, name)
            if child is None:
                continue
            if value[name] is None and not child.get("nullable"):
                del value[name]
            else:
                drop_nulls(value[name], child)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            drop_nulls(item, schema["items"])


def normalise_quantities(value: Any, schema: Object) -> None:
    """Convert numbers that are quantities to strings in place, as Kubernetes returns them (`nvidia.com/gpu: 1` → "1")."""
    if isinstance(value, dict):
        for name, item in value.items():
            child = child_schema(schema, name)
            if child is None:
                continue
            if child.get("x-quantity") and isinstance(item, int | float):
                value[name] = str(item)
            else:
                normalise_quantities(item, child)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            normalise_quantities(item, schema["items"])


def list_keys(schema: Object) -> list[str]:
    """Return the keys of an associative list; none for any other list."""
    if schema.get("x-kubernetes-list-type") != "map":
        return []
    return list(schema.get("x-kubernetes-list-map-keys") or ())
