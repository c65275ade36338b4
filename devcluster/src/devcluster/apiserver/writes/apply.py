"""Server-side apply, and the record of field managers that every write updates (metadata.managedFields)."""

from dataclasses import dataclass
from typing import Any

from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.objects import Object, clone, timestamp
from devcluster.apiserver.schemas.structural import child_schema
from devcluster.apiserver.writes.fieldsets import (
    FieldSet,
    Path,
    children,
    describe,
    fields_of,
    from_fields_v1,
    is_atomic,
    item_element,
    leaves,
    starting_with,
    to_fields_v1,
)


@dataclass(frozen=True, order=True)
class Manager:
    """A field manager: one entry of managedFields."""

    name: str
    operation: str  # Apply or Update
    api_version: str
    subresource: str = ""


Book = dict[Manager, tuple[FieldSet, str]]  # the fields of each manager, and when it last changed them


def read_managers(obj: Object) -> Book:
    """Return the managers of an object with their fields; an entry that cannot be read is left out."""
    book: Book = {}
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        manager = Manager(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        book[manager] = (from_fields_v1(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return book


def write_managers(obj: Object, book: Book) -> None:
    """Write the managers into the object in Kubernetes' order: those that apply first, each group by time and name."""
    entries = []
    for manager, (fields, time) in sorted(book.items(), key=lambda item: (item[0].operation, item[1][1], item[0])):
        if not fields and manager.operation != "Apply":
            continue
        entry: Object = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            **({"time": time} if time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(fields),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    obj["metadata"].pop("managedFields", None)
    if entries:
        obj["metadata"]["managedFields"] = entries


def record_update(
    live: Object | None, new: Object, schema: Object, manager: Manager, ignored: tuple[Path, ...]
) -> None:
    """Record a create, update or patch: the fields that changed now belong to `manager` alone.

    The earlier managers are read from `new`, since a client may edit them on purpose; an empty list resets them.
    Fields under `ignored` (the status for the main resource, all but the status for the status) are ignored.
    """
    before = live if live is not None else {}
    has_book = "managedFields" in new["metadata"] or live is None
    book = read_managers(new) if has_book else read_managers(before)
    changed, removed = _difference(before, new, schema)
    changed, removed = _without(changed, ignored), _without(removed, ignored)
    if not changed and not removed:
        write_managers(new, book)
        return
    own, _ = book.pop(manager, (frozenset(), ""))
    others: Book = {}
    for other, (fields, time) in book.items():
        others[other] = (fields - changed - removed, time)
    others[manager] = ((own | changed) - removed, timestamp())
    write_managers(new, others)


def apply(
    live: Object, config: Object, schema: Object, manager: Manager, *, force: bool, ignored: tuple[Path, ...]
) -> Object:
    """Return the object after `manager` applied `config`: merged, without the fields that it owned and no longer sends.

    Raises ApiError 409 with every field that another manager owns and that would change, unless `force`.
    """
    book = read_managers(live)
    applied = _without(fields_of(config, schema, containers=False), ignored)
    before, old_time = book.pop(manager, (frozenset(), ""))
    config = _kept(config, ignored)
    merged: Object = merge(live, config, schema)
    others = frozenset[Path]().union(*(fields for fields, _ in book.values())) if book else frozenset()
    kept = others | applied
    for path in sorted(before - applied, key=len):
        if not starting_with(kept, path):
            _remove(merged, schema, path)
    changed, removed = _difference(live, merged, schema)
    conflicts = {other: fields & (changed - removed) for other, (fields, _) in book.items()}
    conflicts = {other: fields for other, fields in conflicts.items() if fields}
    if conflicts and not force:
        raise _conflict(conflicts)
    book = {other: (fields - changed - removed, time) for other, (fields, time) in book.items()}
    unchanged = not changed and not removed  # a manager that only agrees with the present values has changed nothing
    book[manager] = (applied, old_time if unchanged else timestamp())
    write_managers(merged, book)
    return merged


def merge(live: Any, config: Any, schema: Object) -> Any:
    """Merge `config` into `live`: maps by key, associative lists by their items' keys, sets as unions."""
    if config is None or is_atomic(config, schema) or type(live) is not type(config):
        return clone(config)
    if isinstance(config, dict):
        merged = {name: clone(value) for name, value in live.items() if name not in config}
        for name, value in config.items():
            merged[name] = merge(live.get(name), value, child_schema(schema, name) or {})
        return {name: merged[name] for name in [*live, *(name for name in config if name not in live)]}
    return _merge_lists(live, config, schema)


def _merge_lists(live: list[Any], config: list[Any], schema: Object) -> list[Any]:
    """Return the items of `config` in its order; items of `live` alone stay before the common item that they preceded."""
    items = schema.get("items") or {}
    old = {item_element(item, schema): item for item in live}
    wanted = {item_element(item, schema): item for item in config}
    common = [element for element in wanted if element in old]
    merged: list[Any] = []
    waiting = list(old)
    for element, item in wanted.items():
        while waiting and waiting[0] != (common[0] if common else None):
            earlier = waiting.pop(0)
            if earlier not in wanted:
                merged.append(clone(old[earlier]))
        if element in old:
            common.pop(0)
            waiting = waiting[1:] if waiting[:1] == [element] else waiting
        merged.append(merge(old.get(element), item, items))
    return merged + [clone(old[element]) for element in waiting if element not in wanted]


def _difference(before: Object, after: Object, schema: Object) -> tuple[FieldSet, FieldSet]:
    """Return (fields that are new or have another value, fields that were removed)."""
    old, new = fields_of(before, schema, containers=True), fields_of(after, schema, containers=True)
    old_values, new_values = leaves(before, schema), leaves(after, schema)
    modified = {
        path
        for path, value in new_values.items()
        if path in new and path in old and (path not in old_values or old_values[path] != value)
    }
    return (new - old) | modified, old - new


def _without(fields: FieldSet, prefixes: tuple[Path, ...]) -> FieldSet:
    return frozenset(path for path in fields if not any(path[: len(p)] == p for p in prefixes))


def _kept(config: Object, ignored: tuple[Path, ...]) -> Object:
    """Return the applied configuration without the top-level fields that this endpoint does not write."""
    dropped = {prefix[0].removeprefix("f:") for prefix in ignored if len(prefix) == 1}
    return {name: value for name, value in config.items() if name not in dropped}


def _remove(value: Any, schema: Object, path: Path) -> None:
    """Delete the field at `path` in place, and the containers that this leaves empty."""
    element, rest = path[0], path[1:]
    for found, item, child, _ in list(children(value, schema)) if isinstance(value, dict | list) else ():
        if found != element:
            continue
        if rest:
            _remove(item, child, rest)
        if not rest or item in ({}, []):
            if isinstance(value, dict):
                value.pop(element.removeprefix("f:"), None)
            else:
                value.remove(item)


def _conflict(conflicts: dict[Manager, FieldSet]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_who(manager)}", "field": describe(path)}
        for manager, fields in sorted(conflicts.items())
        for path in sorted(fields)
    ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        parts = [
            f"conflicts with {_who(manager)}:\n" + "\n".join(f"- {describe(path)}" for path in sorted(fields))
            for manager, fields in sorted(conflicts.items())
        ]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(parts)
    return ApiError(409, "Conflict", text, {"causes": causes})


def _who(manager: Manager) -> str:
    quoted = f'"{manager.name}"'
    if manager.subresource:
        quoted += f' with subresource "{manager.subresource}"'
    return f"{quoted} using {manager.api_version}" if manager.operation == "Update" else quoted
