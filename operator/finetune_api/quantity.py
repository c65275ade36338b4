"""Kubernetes resource quantities, such as 500m, 16Gi or a plain number."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

# The grammar is Kubernetes': https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|[eE][0-9]+)?$"


def _as_text(value: Any) -> Any:
    """YAML reads `cpu: 4` as a number; Kubernetes takes both."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(max_length=32, pattern=_PATTERN),
    BeforeValidator(_as_text),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": _PATTERN}),
]
"""A quantity above zero is not asked for here: the pod's own validation says so where it matters."""
