"""Kubernetes resource quantities, such as 500m, 16Gi or a plain number."""

import re
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from finetune_api.rules import Rule, enforce, validations

# The grammar is Kubernetes': https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_PATTERN: Final = "^([0-9]+([.][0-9]*)?|[.][0-9]+)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|[eE][0-9]{1,2})?$"


def _as_text(value: Any) -> Any:
    """YAML reads `cpu: 4` as a number; Kubernetes takes both. A number beyond 64 bits is no integer there."""
    is_integer = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return str(value) if is_integer else value


_RULE: Final = Rule[str](
    cel=f"string(self).matches('{_PATTERN}')",
    holds=lambda value: re.fullmatch(_PATTERN, value) is not None,
    message="must be a Kubernetes quantity, such as 4, 500m or 16Gi",
)


Quantity: TypeAlias = Annotated[
    str,
    Field(max_length=32),
    BeforeValidator(_as_text),
    AfterValidator(lambda value: enforce(value, _RULE)),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, **validations(_RULE)}),
]
