"""What all models of the contract share: camelCase on the wire, docstrings as descriptions, rules with a message."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError, core_schema

JsonObject: TypeAlias = dict[str, Any]


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
    )

    def to_wire(self) -> JsonObject:
        """The JSON object as Kubernetes holds it: camelCase, absent where nothing is set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class LenientModel(ApiModel):
    """Written by another program or another version: fields that we do not know are left out, not refused."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True)
class Rule:
    """What the API server checks by CEL. See https://kubernetes.io/docs/reference/using-api/cel/ for the language.

    The message stands after the path of the schema that holds the rule, or after that path and `field` (`.a.b`).
    """

    rule: str
    message: str
    field: str | None = None


def validations(*rules: Rule) -> JsonDict:
    """The part of a schema that holds its rules."""
    return {"x-kubernetes-validations": [_on_the_wire(rule) for rule in rules]}


def _on_the_wire(rule: Rule) -> JsonDict:
    wire: JsonDict = {"rule": rule.rule, "message": rule.message}
    return {**wire, "fieldPath": rule.field} if rule.field else wire


@dataclass(frozen=True)
class Text:
    """Annotation of a string that must match `pattern` and must not match `forbid` (both in RE2's syntax).

    The API server checks them by CEL and not by the schema's `pattern`, since only CEL can name the remedy.
    """

    pattern: str
    message: str
    max_length: int
    forbid: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            self._check, core_schema.str_schema(max_length=self.max_length)
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        expressions = [f"self.matches({_cel_string(self.pattern)})"]
        if self.forbid:
            expressions.append(f"!self.matches({_cel_string(self.forbid)})")
        return {
            "type": "string",
            "maxLength": self.max_length,
            **validations(Rule(" && ".join(expressions), self.message)),
        }

    def _check(self, value: str) -> str:
        # RE2 knows ASCII classes only, and its $ does not match before a final newline.
        matches = re.fullmatch(self.pattern, value, re.ASCII) is not None
        if not matches or (self.forbid and re.search(self.forbid, value, re.ASCII)):
            raise PydanticCustomError("text", "{message}", {"message": self.message})
        return value


def _cel_string(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
