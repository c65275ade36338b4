"""Sets of fields, as metadata.managedFields records who owns what (structured-merge-diff's FieldsV1).

A field is a path, a tuple of elements: `f:name` for a field or map key, `k:{"name":"x"}` for a list item known
by its keys, `v:"x"` for a member of a set. A container owned for itself is its own path beside those within.
"""

import json
from collections.abc import Iterator
from typing import Any

from devcluster.apiserver.objects import Object
from devcluster.apiserver.schemas.structural import child_schema, list_keys

Path = tuple[str, ...]
FieldSet = frozenset[Path]

# What no client owns: the object's identity, and what the server alone writes.
_NOBODYS: tuple[Path, ...] = (
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


_STANDING = {"f:metadata", "f:spec", "f:status", "f:template", "f:strategy", "f:names", "f:containers"}


def is_atomic(value: Any, schema: Object) -> bool:
    """True where a value is owned whole: scalars, atomic lists (the default) and atomic maps."""
    if isinstance(value, dict):
        return bool(schema.get("x-kubernetes-map-type") == "atomic")
    if isinstance(value, list):
        return bool(schema.get("x-kubernetes-list-type", "atomic") == "atomic")
    return True


def item_element(item: Any, schema: Object) -> str:
    """The path element of a list item, by its keys in an associative list and by its value in a set."""
    keys = list_keys(schema)
    if keys and isinstance(item, dict):
        return "k:" + _json({key: item.get(key, key_default(schema, key)) for key in sorted(keys)})
    return "v:" + _json(item)


def key_default(schema: Object, key: str) -> Any:
    return ((schema.get("items") or {}).get("properties") or {}).get(key, {}).get("default")


def fields_of(value: Any, schema: Object, *, containers: bool) -> FieldSet:
    """The fields of an object: what applying it owns, or with `containers` everything that stands in it."""
    paths = set(_walk(value, schema, (), containers))
    return frozenset(paths.difference(_NOBODYS, [()]))


def leaves(value: Any, schema: Object) -> dict[Path, Any]:
    """The values that are owned whole, by path."""
    return dict(_leaves(value, schema, ()))


def children(value: Any, schema: Object) -> Iterator[tuple[str, Any, Object, bool]]:
    """(element, value, schema, named in the schema) of what stands in a container that is not atomic."""
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
    if containers and not _always_there(path):
        yield path
    for element, item, child, named in children(value, schema):
        here = (*path, element)
        if not named:
            yield here
        if not element.startswith("v:"):
            yield from _walk(item, child, here, containers)


def _always_there(path: Path) -> bool:
    """True for the parts of built-in kinds that stand in every object, if empty: nobody made them.

    Custom resources' specs are made by who sends them, but whether their mere existence is owned changes nothing.
    """
    return not path or (path[-1] in _STANDING and all(element in _STANDING for element in path))


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
    """The tree that stands in managedFields."""
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
    """A path as the messages of a conflict write it: `.spec.containers[name="x"].image`."""
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
