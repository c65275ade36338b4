"""What another version of the operator wrote into a status, and this one does not know: it is kept, for when that one comes back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from finetune_api.base import JsonObject
from finetune_api.curves import Curve, Series
from finetune_api.preflight import ClassRows
from finetune_api.status import (
    Adjustment,
    Attempt,
    Checkpoint,
    Condition,
    Evaluation,
    MetricValue,
    Notification,
    PreviousRun,
    RunWarning,
    TrackedRun,
)

Model: TypeAlias = type[BaseModel]

KEYS: Final[dict[Model, tuple[str, ...]]] = {
    Adjustment: ("step", "reason"),
    Attempt: ("number", "pod"),
    Checkpoint: ("step", "uri"),
    ClassRows: ("name",),
    Condition: ("type",),
    Curve: ("steps",),
    Evaluation: ("step",),
    MetricValue: ("name",),
    Notification: ("target",),
    PreviousRun: ("number",),
    RunWarning: ("reason", "message"),
    Series: ("name",),
    TrackedRun: ("tracker",),
}
"""By which fields an item of a list is the same one as before."""


@dataclass(frozen=True)
class _Fields:
    """A model's fields by their names on the wire."""

    names: frozenset[str]
    objects: dict[str, Model]
    """Those that hold an object."""
    lists: dict[str, Model]
    """Those that hold a list of objects."""


def unknown_fields(raw: object, model: Model) -> JsonObject:
    """The fields of an object that `model` does not have, and those of the objects in it. Items of lists come with what they are known by."""
    if not isinstance(raw, dict):
        return {}
    known = _fields(model)
    found: JsonObject = {name: raw[name] for name in raw.keys() - known.names}
    for name, inner in known.objects.items():
        if within := unknown_fields(raw.get(name), inner):
            found[name] = within
    for name, inner in known.lists.items():
        if raw.get(name) and (items := list(_unknown_items(raw[name], inner))):
            found[name] = items
    return found


def with_unknown(status: JsonObject, unknown: JsonObject, model: Model) -> JsonObject:
    """A status with what `unknown_fields` found in the one before, but for what was in an object that is gone."""
    known, after = _fields(model), dict(status)
    for name, value in unknown.items():
        if name not in known.names:
            after[name] = value
        elif name in known.objects and name in after:
            after[name] = with_unknown(after[name], value, known.objects[name])
        elif name in known.lists and name in after:
            after[name] = list(_with_unknown_items(after[name], value, known.lists[name]))
    return after


def _unknown_items(raw: object, model: Model) -> Iterator[JsonObject]:
    keys = KEYS[model]
    for item in raw if isinstance(raw, list) else ():
        unknown = unknown_fields(item, model)
        if unknown and all(key in item for key in keys):
            yield {**unknown, **{key: item[key] for key in keys}}


def _with_unknown_items(items: Iterable[JsonObject], unknown: list[JsonObject], model: Model) -> Iterator[JsonObject]:
    keys = KEYS[model]
    for item in items:
        same = (each for each in unknown if all(each[key] == item.get(key) for key in keys))
        yield with_unknown(item, next(same, {}), model)


@cache
def _fields(model: Model) -> _Fields:
    names = {name: field.alias or name for name, field in model.model_fields.items()}
    objects = {names[name]: next(_models(field.annotation), None) for name, field in model.model_fields.items()}
    lists = {names[name]: next(_items(field.annotation), None) for name, field in model.model_fields.items()}
    return _Fields(frozenset(names.values()), _present(objects), _present(lists))


def _present(found: dict[str, Model | None]) -> dict[str, Model]:
    return {name: model for name, model in found.items() if model is not None}


def _models(annotation: object) -> Iterator[Model]:
    """The model that a field's value is, if it is one; of a list it is none."""
    for each in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each


def _items(annotation: object) -> Iterator[Model]:
    """The model of the items of a field that is a list of objects."""
    return _models(get_args(annotation)[0]) if get_origin(annotation) is list else iter(())
