"""JSON patch (by jsonpatch), JSON merge patch and strategic merge patch."""

from typing import Any

import jsonpatch
import jsonpointer

from devcluster.apiserver.errors import ApiError, bad_request
from devcluster.apiserver.objects import Object, clone
from devcluster.apiserver.schemas.structural import child_schema

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def json_patch(obj: Object, operations: Any) -> Object:
    """Apply a JSON patch (RFC 6902).

    Raises ApiError: 422 if an operation does not fit, 400 if the patch is malformed.
    """
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
    """Apply a JSON merge patch (RFC 7396)."""
    return _an_object(_merge(obj, _an_object(patch)))


def strategic_patch(obj: Object, patch: Any, schema: Object) -> Object:
    """Apply Kubernetes' strategic merge patch: a merge patch that merges lists with a merge key item by item."""
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
    live = list(current or [])
    if {"$patch": "replace"} in value:
        return [clone(item) for item in value if item != {"$patch": "replace"}]
    merged = list(live)
    patched: list[Any] = []
    for item in value:
        old = next((one for one in live if _identity(one, key) == _identity(item, key)), None)
        merged = [one for one in merged if _identity(one, key) != _identity(item, key)]
        if isinstance(item, dict) and item.get("$patch") == "delete":
            continue
        if key:
            item = _strategic(old or {}, item, schema.get("items") or {})
        merged.append(item)
        patched.append(_identity(item, key))
    wanted = [_identity(item, key) for item in order] if order is not None else patched
    return _in_order(merged, wanted, [_identity(item, key) for item in live], key)


def _reordered(current: Object, patch: Object, schema: Object) -> Object:
    """Apply orders for lists that the patch does not otherwise change."""
    for name, order in patch.items():
        field = name.removeprefix("$setElementOrder/")
        if field != name and field not in patch and isinstance(items := current.get(field), list):
            key = (child_schema(schema, field) or {}).get("x-kubernetes-patch-merge-key")
            wanted, live = [_identity(item, key) for item in order], [_identity(item, key) for item in items]
            current[field] = _in_order(items, wanted, live, key)
    return current


def _identity(item: Any, key: str | None) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _in_order(items: list[Any], wanted: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """Return the items in the client's order, with the items that only the server has in between in their order.

    Of the two next items the server's is first only if it precedes the client's in the live list.
    """
    by_identity = {_identity(item, key): item for item in items}
    ordered = [identity for identity in wanted if identity in by_identity]
    others = [identity for identity in by_identity if identity not in ordered]
    result: list[Any] = []
    while ordered and others:
        first = ordered[0]
        server_first = first in live and others[0] in live and live.index(others[0]) < live.index(first)
        result.append(others.pop(0) if server_first else ordered.pop(0))
    return [by_identity[identity] for identity in [*result, *ordered, *others]]
