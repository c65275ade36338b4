"""Kubernetes resource quantities as numbers.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from decimal import Decimal

_FACTORS = {"": Decimal(1), "m": Decimal("0.001")}
_FACTORS |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", start=1)}
_FACTORS |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", start=1)}


def parse_quantity(quantity: str) -> Decimal:
    """The number that a valid `finetune_api.quantity.Quantity` means: 0.5 for 500m, 1024 for 1Ki, 1000 for 1e3."""
    number = quantity.rstrip("mkKMGTPi")
    return Decimal(number) * _FACTORS[quantity.removeprefix(number)]
