"""Strings that must match a pattern, checked by CEL on the API server and by `re` here."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticKnownError, core_schema

from finetune_api.base import JsonObject
from finetune_api.rules import Rule, enforce, validations


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
            lambda value: enforce(value, self._rule), core_schema.str_schema(max_length=self.max_length)
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"type": "string", "maxLength": self.max_length, **validations(self._rule)}

    @property
    def _rule(self) -> Rule[str]:
        expressions = [f"self.matches({_cel_string(self.pattern)})"]
        if self.forbid:
            expressions.append(f"!self.matches({_cel_string(self.forbid)})")
        return Rule(cel=" && ".join(expressions), holds=self._matches, message=self.message)

    def _matches(self, value: str) -> bool:
        if not re.fullmatch(_as_python(self.pattern), value):
            return False
        return not (self.forbid and re.search(_as_python(self.forbid), value))


@dataclass(frozen=True)
class Pattern:
    """Annotation of a string that must match a schema's `pattern`, read as the API server reads it (RE2)."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, value: str) -> str:
        if not re.fullmatch(_as_python(self.pattern), value):
            raise PydanticKnownError("string_pattern_mismatch", {"pattern": self.pattern})
        return value


@cache
def _as_python(pattern: str) -> str:
    r"""A pattern in RE2's syntax for `re`, whose \s has more than RE2's five characters."""
    return pattern.replace(r"[^\s", r"[^\t\n\f\r ").replace(r"\S", r"[^\t\n\f\r ]").replace(r"\s", r"[\t\n\f\r ]")


def _cel_string(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
