"""Names of objects, labels and their selectors, as Kubernetes has them."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from finetune_api.base import ApiModel
from finetune_api.rules import Rule
from finetune_api.text import Pattern, Text

ObjectName: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        message="must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'",
        max_length=253,
    ),
]

StorageClassName: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
        message="must be the name of a StorageClass: lower-case letters, digits, '-' and '.'",
        max_length=253,
    ),
]
"""Name of a StorageClass; an empty one means a volume of no class."""


ControllerName: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[-A-Za-z0-9._~/:@!$&()*+,;=%]+$",
        message="must be the name of a controller with its domain, such as kueue.x-k8s.io/multikueue",
        max_length=63,
    ),
]
"""Name of a controller, as in the managedBy of a batch/v1 Job."""


def _without_nulls(value: Any) -> Any:
    """A map without its nulls, as the API server stores it."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


LabelKey: TypeAlias = Annotated[str, Field(max_length=317)]
LabelValue: TypeAlias = Annotated[str, Field(max_length=63)]
Labels: TypeAlias = Annotated[dict[str, LabelValue], Field(max_length=32), BeforeValidator(_without_nulls)]
Annotations: TypeAlias = Annotated[
    dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32), BeforeValidator(_without_nulls)
]

LABEL_KEY: Final = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
"""Pattern of a label's key."""
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
"""Pattern of a label's value."""
SelectedKey: TypeAlias = Annotated[LabelKey, Pattern(LABEL_KEY)]
SelectedValue: TypeAlias = Annotated[LabelValue, Pattern(LABEL_VALUE)]

_VALUES: Final = Rule["Requirement"](
    cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    holds=lambda self: (self.operator in ("In", "NotIn")) == bool(self.values),
    message="operators In and NotIn need values; Exists and DoesNotExist have none",
)


class Requirement(ApiModel):
    """What must hold of one label, as in any label selector of Kubernetes."""

    rules = (_VALUES,)

    key: SelectedKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What must hold of it. NotIn also takes those that lack the label."""
    values: Annotated[list[SelectedValue], Field(max_length=32)] = []
    """Values, for In and NotIn."""


class LabelSelector(ApiModel):
    """Selects objects by their labels; all of it must hold. Empty, it selects all."""

    match_labels: Labels = {}
    """Labels that an object must have."""
    match_expressions: Annotated[list[Requirement], Field(max_length=8)] = []
    """More that must hold of its labels."""
