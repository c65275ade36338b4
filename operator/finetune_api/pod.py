"""What a pod needs on a given cluster. All of it goes to the training pod unchanged."""

import re
from typing import Annotated, Any, Literal, TypeAlias

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


def _without_nulls(value: Any) -> Any:
    """A map without its nulls, as the API server stores it."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


LabelKey: TypeAlias = Annotated[str, Field(max_length=317)]
LabelValue: TypeAlias = Annotated[str, Field(max_length=63)]
Labels: TypeAlias = Annotated[dict[str, LabelValue], Field(max_length=32), BeforeValidator(_without_nulls)]
Annotations: TypeAlias = Annotated[
    dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32), BeforeValidator(_without_nulls)
]

_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"


class LocalReference(ApiModel):
    """A Secret in the job's namespace."""

    name: ObjectName
    """Its name."""


class KeyReference(ApiModel):
    """A key of a Secret or ConfigMap in the job's namespace."""

    name: ObjectName
    """Its name."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in it."""
    optional: bool | None = None
    """Whether the pod starts without it."""


_ONE_SOURCE: Rule["EnvVarSource"] = Rule(
    cel="has(self.secretKeyRef) != has(self.configMapKeyRef)",
    holds=lambda self: (self.secret_key_ref is None) != (self.config_map_key_ref is None),
    message="needs exactly one of secretKeyRef and configMapKeyRef",
)


class EnvVarSource(ApiModel):
    """Where the value of an environment variable comes from: exactly one of these."""

    rules = (_ONE_SOURCE,)

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""


_ONE_VALUE: Rule["EnvVar"] = Rule(
    cel="!(has(self.value) && has(self.valueFrom))",
    holds=lambda self: self.value is None or self.value_from is None,
    message="takes value or valueFrom, not both",
)
_RESERVED_NAME: Rule["EnvVar"] = Rule(
    cel="!self.name.startsWith('KUBEFLOW_TRAINER_') && !self.name.startsWith('FINETUNE_')",
    holds=lambda self: not self.name.startswith(("KUBEFLOW_TRAINER_", "FINETUNE_")),
    message="variables that begin with FINETUNE_ or KUBEFLOW_TRAINER_ are set by the operator",
)


class EnvVar(ApiModel):
    """An environment variable of the trainer, such as HF_TOKEN from a Secret."""

    rules = (_ONE_VALUE, _RESERVED_NAME)

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value. Secrets do not belong here: use valueFrom."""
    value_from: EnvVarSource | None = None
    """Where its value comes from."""


class Toleration(ApiModel):
    """As on a Pod: lets the training pod run on nodes with a matching taint."""

    key: LabelKey | None = None
    """Key of the taint; every key if left out, with operator Exists."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the value of the taint matters."""
    value: LabelValue | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect if left out."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """How long, in seconds, a NoExecute taint is tolerated."""


def _labels_are_valid(pod: "PodSettings") -> bool:
    keys = [*pod.labels, *pod.node_selector, *pod.annotations]
    values = [*pod.labels.values(), *pod.node_selector.values()]
    return all(re.fullmatch(_LABEL_KEY, key) for key in keys) and all(re.fullmatch(_LABEL_VALUE, v) for v in values)


_LABELS: Rule["PodSettings"] = Rule(
    cel=" && ".join(
        f"(!has(self.{field}) || self.{field}.all(key, key.matches('{_LABEL_KEY}'){value}))"
        for field, value in (
            ("labels", f" && self.labels[key].matches('{_LABEL_VALUE}')"),
            ("nodeSelector", f" && self.nodeSelector[key].matches('{_LABEL_VALUE}')"),
            ("annotations", ""),
        )
    ),
    holds=_labels_are_valid,
    message="pod.labels, pod.annotations and pod.nodeSelector take keys such as example.com/name; label values are at most 63 "
    "letters, digits, '-', '_' and '.'",
)
_RESERVED_LABELS: Rule["PodSettings"] = Rule(
    cel="!has(self.labels) || self.labels.all(key, !key.startsWith('finetune.dev/') && !key.startsWith('batch.kubernetes.io/'))",
    holds=lambda self: not any(key.startswith(("finetune.dev/", "batch.kubernetes.io/")) for key in self.labels),
    message="pod.labels: those under finetune.dev/ and batch.kubernetes.io/ are set by the operator and by Kubernetes",
)


class PodSettings(ApiModel):
    """What the training pod needs on this cluster; all of it optional."""

    rules = (_RESERVED_LABELS, _LABELS)

    image: Annotated[str, Field(min_length=1, max_length=512), Pattern(r"^\S+$")] | None = None
    """Image of the trainer. The operator's default if left out."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pod. It needs no rights on the Kubernetes API."""
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] = []
    """Secrets to pull the image with."""
    node_selector: Labels = {}
    """Labels that a node must have, such as nvidia.com/gpu.product."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that the pod tolerates."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pod."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables of the trainer."""
    labels: Labels = {}
    """Labels of Job and pod besides our own, such as kueue.x-k8s.io/queue-name. Those under app.kubernetes.io/ take the place of ours."""
    annotations: Annotations = {}
    """Annotations of the pod."""
