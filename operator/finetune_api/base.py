"""What all models of the contract share: camelCase on the wire, docstrings as descriptions, rules with a message."""

from typing import Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from finetune_api.rules import Rule, enforce, validations

JsonObject: TypeAlias = dict[str, Any]


def _add_rules(schema: JsonDict, model: type[Any]) -> None:
    schema.update(validations(*model.rules))


class ApiModel(BaseModel):
    """A part of a manifest: camelCase on the wire, unknown fields refused, never changed in place."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        json_schema_extra=_add_rules,
    )

    rules: ClassVar[tuple[Rule[Any], ...]] = ()
    """What must hold between the fields; the first rule that does not is the error."""

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        enforce(self, *self.rules)
        return self

    def to_wire(self) -> JsonObject:
        """The JSON object as Kubernetes holds it: camelCase, absent where nothing is set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class LenientModel(ApiModel):
    """Written by another program or another version: fields that we do not know are left out, not refused."""

    model_config = ConfigDict(extra="ignore")
