"""Kubernetes resource quantities, such as 500m, 16Gi or a plain number."""

import re
from decimal import Decimal
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

_FACTORS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", start=1)},
}


def at_most(quantity: str | None, limit: str | None) -> str | None:
    """Return the quantity, lowered to the limit; where there is none, which "0" says too, the limit."""
    if quantity is None or parse_quantity(quantity) == 0:
        return limit
    return quantity if limit is None or parse_quantity(quantity) <= parse_quantity(limit) else limit


def parse_quantity(quantity: str) -> Decimal:
    """Return the number that a valid `Quantity` means: 0.5 for 500m, 1024 for 1Ki, 1000 for 1e3."""
    number = quantity.rstrip("mkKMGTPi")
    return Decimal(number) * _FACTORS[quantity.removeprefix(number)]
