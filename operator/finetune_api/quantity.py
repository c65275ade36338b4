"""Kubernetes resource quantities, such as 500m, 16Gi or a plain number."""

import re
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from finetune_api.base import Rule, validations

# The grammar is Kubernetes': https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_PATTERN: Final = "^([0-9]+([.][0-9]*)?|[.][0-9]+)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|[eE][0-9]{1,2})?$"
_MESSAGE: Final = "must be a Kubernetes quantity, such as 4, 500m or 16Gi"


def _as_text(value: Any) -> Any:
    """YAML reads `cpu: 4` as a number; Kubernetes takes both."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check(value: str) -> str:
    if not re.fullmatch(_PATTERN, value):
        raise PydanticCustomError("quantity", _MESSAGE)
    return value


Quantity: TypeAlias = Annotated[
    str,
    Field(max_length=32),
    BeforeValidator(_as_text),
    AfterValidator(_check),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            **validations(Rule(f"string(self).matches('{_PATTERN}')", _MESSAGE)),
        }
    ),
]
