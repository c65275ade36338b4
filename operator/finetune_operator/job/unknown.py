"""What another version of the operator wrote into a status, and this one does not know: it is kept, for when that one comes back."""

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin

from pydantic import BaseModel

from finetune_api.base import JsonObject


def unknown_fields(raw: object, model: type[BaseModel]) -> JsonObject:
    """The fields of an object that `model` does not have, and those of the objects in it. Items of lists are not looked at."""
    if not isinstance(raw, dict):
        return {}
    known: dict[str, type[BaseModel] | None] = _fields(model)
    found: JsonObject = {}
    for name, value in raw.items():
        if name not in known:
            found[name] = value
        elif (inner := known[name]) and (within := unknown_fields(value, inner)):
            found[name] = within
    return found


def with_unknown(status: JsonObject, unknown: JsonObject, model: type[BaseModel]) -> JsonObject:
    """A status with what `unknown_fields` found in the one before, but for what was in an object that is gone."""
    known, after = _fields(model), dict(status)
    for name, value in unknown.items():
        inner = known.get(name)
        if inner is None:
            after[name] = value
        elif name in after:
            after[name] = with_unknown(after[name], value, inner)
    return after


@cache
def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """The names of a model's fields on the wire, with the model of those that are objects."""
    return {field.alias or name: next(_models(field.annotation), None) for name, field in model.model_fields.items()}


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The model that a field's value is, if it is one; of a list it is none."""
    for each in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each
