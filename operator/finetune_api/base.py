"""What all models of the contract share: camelCase on the wire, docstrings as descriptions, rules with a message."""

from functools import cache
from typing import Any, ClassVar, Final, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from finetune_api.rules import Rule, enforce, validations

_NUMBERS: Final = (int, float)
"""A tuple: `int | float` would be made anew for each field of each object."""

JsonObject: TypeAlias = dict[str, Any]
OPERATOR_DEFAULT: Final = "x-operator-default"
"""Keyword of a schema: the API server leaves the field out where a user does, and who reads it fills in the default.

For fields that a FineTuneProfile limits: by the API server's default a job would be refused for what nobody wrote.
"""


def _add_rules(schema: JsonDict, model: type[Any]) -> None:
    schema.update(validations(*model.rules))


class WireModel(BaseModel):
    """An object of the contract: camelCase on the wire, never changed in place."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def to_wire(self, fields: set[str] | None = None) -> JsonObject:
        """Return the JSON object as Kubernetes holds it: camelCase, absent where nothing is set. `fields` are those that are wanted, if not all."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, include=fields)


class ApiModel(WireModel):
    """A part of a manifest, read as the API server reads it: unknown fields are refused, null is absent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_add_rules)

    rules: ClassVar[tuple[Rule[Any], ...]] = ()
    """What must hold between the fields; the first rule that does not is the error."""

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        enforce(self, *self.rules)
        return self

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, fields: Any) -> Any:
        """As the API server does: null leaves a field out, so that its default holds."""
        if not isinstance(fields, dict):
            return fields
        known = _names_of(cls)
        return {name: value for name, value in fields.items() if value is not None or name not in known}

    @field_validator("*", mode="wrap")
    @classmethod
    def _never_converted(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """As the API server does: take no number or boolean from text, no number from a boolean and none the other way."""
        result = handler(value)
        if not isinstance(result, _NUMBERS):
            return result
        if isinstance(value, str) or isinstance(value, bool) != isinstance(result, bool):
            taken = {bool: "true or false", int: "a whole number"}.get(type(result), "a number")
            context = {"taken": taken, "given": _told(value)}
            raise PydanticCustomError("converted", "Input should be {taken}, not {given}", context)
        return result


def _told(value: str | float) -> str:
    """A value as a manifest has it."""
    if isinstance(value, str):
        return f"the text {value!r:.80}"
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _names_of(model: type[ApiModel]) -> frozenset[str | None]:
    """The names of a model's fields, in Python and on the wire."""
    return frozenset({*model.model_fields, *(field.alias for field in model.model_fields.values())})


class LenientModel(WireModel):
    """Written by another program or another version: fields that we do not know are left out, not refused."""

    model_config = ConfigDict(extra="ignore")
