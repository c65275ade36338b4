"""JSON patch (by jsonpatch), JSON merge patch and strategic merge patch."""

from typing import Any

import jsonpatch  # type: ignore[import-untyped]
import jsonpointer  # type: ignore[import-untyped]

from devcluster.apiserver.errors import ApiError, bad_request
from devcluster.apiserver.objects import Object, clone
from devcluster.apiserver.structural import child_schema

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def json_patch(obj: Object, operations: Any) -> Object:
    """RFC 6902. 422 when an operation does not fit the object, 400 when the patch is none."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        patched = jsonpatch.apply_patch(clone(obj), operations)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(str(error)) from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}) from error
    return _an_object(patched)


def merge_patch(obj: Object, patch: Any) -> Object:
    """RFC 7396."""
    return _an_object(_merge(obj, _an_object(patch)))


def strategic_patch(obj: Object, patch: Any, schema: Object) -> Object:
    """Kubernetes' own: like a merge patch, but lists with a merge key are merged item by item."""
    return _an_object(_strategic(obj, _an_object(patch), schema))


def _an_object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise bad_request("the patch does not give an object")
    return value


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    merged: Object = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _strategic(target: Any, patch: Object, schema: Object) -> Object:
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    current: Object = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    if isinstance(retained := patch.get("$retainKeys"), list):
        current = {name: value for name, value in current.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            current[field] = [item for item in current.get(field) or [] if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            current.pop(name, None)
        else:
            order = patch.get(f"$setElementOrder/{name}")
            current[name] = _strategic_value(current.get(name), value, child_schema(schema, name) or {}, order)
    return _reordered(current, patch, schema)


def _strategic_value(current: Any, value: Any, schema: Object, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        return _strategic(current, value, schema)
    if not isinstance(value, list) or "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        return clone(value)
    key = schema.get("x-kubernetes-patch-merge-key")
    merged = list(current or [])
    if key is None:
        merged += [item for item in value if item not in merged]
        return _in_order(merged, order, None)
    if {"$patch": "replace"} in value:
        return [clone(item) for item in value if item != {"$patch": "replace"}]
    for item in value:
        index = next((i for i, old in enumerate(merged) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item.get(key)]
        elif index is None:
            merged.append(_strategic({}, item, schema.get("items") or {}))
        else:
            merged[index] = _strategic(merged[index], item, schema.get("items") or {})
    return _in_order(merged, order, key)


def _reordered(current: Object, patch: Object, schema: Object) -> Object:
    """Orders that come without changes to the list itself."""
    for name, order in patch.items():
        field = name.removeprefix("$setElementOrder/")
        if field != name and field not in patch and isinstance(current.get(field), list):
            key = (child_schema(schema, field) or {}).get("x-kubernetes-patch-merge-key")
            current[field] = _in_order(current[field], order, key)
    return current


def _in_order(items: list[Any], order: list[Any] | None, key: str | None) -> list[Any]:
    """Items that `order` names in its order, each other item staying behind the one that it followed."""
    if not order:
        return items
    wanted = [entry.get(key) if key else entry for entry in order]
    named = {index: item for index, item in enumerate(items) if (item.get(key) if key else item) in wanted}
    ranked = iter(sorted(named.values(), key=lambda item: wanted.index(item.get(key) if key else item)))
    return [next(ranked) if index in named else item for index, item in enumerate(items)]
