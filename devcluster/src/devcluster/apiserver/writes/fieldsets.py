"""Sets of fields in the format of metadata.managedFields (structured-merge-diff's FieldsV1).

A field is a path, a tuple of elements: `f:name` for a field or map key, `k:{"name":"x"}` for a list item identified
by its keys, `v:"x"` for a member of a set. A map or list that is owned itself is a path, beside those of its members.
"""

import json
from collections.abc import Iterator
from typing import Any

from devcluster.apiserver.objects import Object
from devcluster.apiserver.schemas.structural import child_schema, list_keys

Path = tuple[str, ...]
FieldSet = frozenset[Path]

# Fields that no manager owns: the object's identity, and those that only the server writes.
_UNOWNED: tuple[Path, ...] = (
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)


_ALWAYS_PRESENT = {"f:metadata", "f:spec", "f:status", "f:template", "f:strategy", "f:names", "f:containers"}


def is_atomic(value: Any, schema: Object) -> bool:
    """Return whether a value is owned as a whole: scalars, atomic lists (the default) and atomic maps."""
    if isinstance(value, dict):
        return bool(schema.get("x-kubernetes-map-type") == "atomic")
    if isinstance(value, list):
        return bool(schema.get("x-kubernetes-list-type", "atomic") == "atomic")
    return True


def item_element(item: Any, schema: Object) -> str:
    """Return the path element of a list item: its keys in an associative list, its value in a set."""
    keys = list_keys(schema)
    if keys and isinstance(item, dict):
        return "k:" + _json({key: item.get(key, key_default(schema, key)) for key in sorted(keys)})
    return "v:" + _json(item)


def key_default(schema: Object, key: str) -> Any:
    return ((schema.get("items") or {}).get("properties") or {}).get(key, {}).get("default")


def fields_of(value: Any, schema: Object, *, containers: bool) -> FieldSet:
    """Return the fields that a manager owns by applying the object; with `containers` the maps and lists too."""
    paths = set(_walk(value, schema, (), containers))
    return frozenset(paths.difference(_UNOWNED, [()]))


def leaves(value: Any, schema: Object) -> dict[Path, Any]:
    """Return the values that are owned as a whole, by path."""
    return dict(_leaves(value, schema, ()))


def children(value: Any, schema: Object) -> Iterator[tuple[str, Any, Object, bool]]:
    """Yield (path element, value, schema, is named by the schema) of each member of a map or list that is not atomic."""
    if isinstance(value, dict):
        named = schema.get("properties") or {}
        for name, item in value.items():
            yield f"f:{name}", item, child_schema(schema, name) or {}, name in named
    elif isinstance(value, list):
        items = schema.get("items") or {}
        for item in value:
            yield item_element(item, schema), item, items, False


def _walk(value: Any, schema: Object, path: Path, containers: bool) -> Iterator[Path]:
    if is_atomic(value, schema) or not value:
        yield path
        return
    if containers and not _is_always_present(path):
        yield path
    for element, item, child, named in children(value, schema):
        here = (*path, element)
        if not named:
            yield here
        if not element.startswith("v:"):
            yield from _walk(item, child, here, containers)


def _is_always_present(path: Path) -> bool:
    """Return whether a field is in every object of a built-in kind, even if empty, so that no manager created it.

    In custom resources the client creates them, but nothing depends on who owns their mere existence.
    """
    return not path or (path[-1] in _ALWAYS_PRESENT and all(element in _ALWAYS_PRESENT for element in path))


def _leaves(value: Any, schema: Object, path: Path) -> Iterator[tuple[Path, Any]]:
    if is_atomic(value, schema) or not value:
        yield path, value
        return
    for element, item, child, _ in children(value, schema):
        here = (*path, element)
        if element.startswith("v:"):
            yield here, item
        else:
            yield from _leaves(item, child, here)


def to_fields_v1(fields: FieldSet) -> Object:
    """Return the tree of managedFields."""
    tree: Object = {}
    for path in sorted(fields):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_lone_dots(tree)


def from_fields_v1(tree: Object) -> FieldSet:
    return frozenset(_from_tree(tree, ()))


def starting_with(fields: FieldSet, prefix: Path) -> FieldSet:
    return frozenset(path for path in fields if path[: len(prefix)] == prefix)


def describe(path: Path) -> str:
    """Return a path as messages of conflicts write it: `.spec.containers[name="x"].image`."""
    text = ""
    for element in path:
        kind, _, value = element.partition(":")
        if kind == "f":
            text += f".{value}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(item)}" for key, item in json.loads(value).items()) + "]"
        else:
            text += f"[={value}]"
    return text


def _from_tree(tree: Object, path: Path) -> Iterator[Path]:
    if not tree and path:
        yield path
    for element, child in tree.items():
        if element == ".":
            yield path
        else:
            yield from _from_tree(child, (*path, element))


def _without_lone_dots(tree: Object) -> Object:
    if set(tree) == {"."}:
        return {}
    return {element: _without_lone_dots(child) if element != "." else {} for element, child in tree.items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
