"""What a pod needs on a given cluster. All of it goes to the training pod as it stands."""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from finetune_api.base import ApiModel, Rule, Text, validations

ObjectName: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        message="must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'",
        max_length=253,
    ),
]
LabelKey: TypeAlias = Annotated[str, Field(max_length=317)]
LabelValue: TypeAlias = Annotated[str, Field(max_length=63)]
Labels: TypeAlias = Annotated[dict[str, LabelValue], Field(max_length=32)]
Annotations: TypeAlias = Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32)]

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


_SOURCE_RULE = Rule(
    "has(self.secretKeyRef) != has(self.configMapKeyRef)",
    "needs exactly one of secretKeyRef and configMapKeyRef",
)


class EnvVarSource(ApiModel):
    """Where the value of an environment variable comes from: exactly one of these."""

    model_config = ConfigDict(json_schema_extra=validations(_SOURCE_RULE))

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "EnvVarSource":
        if (self.secret_key_ref is None) == (self.config_map_key_ref is None):
            raise PydanticCustomError("source", _SOURCE_RULE.message)
        return self


_VALUE_RULE = Rule("!(has(self.value) && has(self.valueFrom))", "takes value or valueFrom, not both")
_OWN_RULE = Rule(
    "!self.name.startsWith('KUBEFLOW_TRAINER_') && !self.name.startsWith('FINETUNE_')",
    "variables that begin with FINETUNE_ or KUBEFLOW_TRAINER_ are set by the operator",
)


class EnvVar(ApiModel):
    """An environment variable of the trainer, such as HF_TOKEN from a Secret."""

    model_config = ConfigDict(json_schema_extra=validations(_VALUE_RULE, _OWN_RULE))

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value. Secrets do not belong here: use valueFrom."""
    value_from: EnvVarSource | None = None
    """Where its value comes from."""

    @model_validator(mode="after")
    def _one_value(self) -> "EnvVar":
        if self.value is not None and self.value_from is not None:
            raise PydanticCustomError("value", _VALUE_RULE.message)
        if self.name.startswith(("KUBEFLOW_TRAINER_", "FINETUNE_")):
            raise PydanticCustomError("name", _OWN_RULE.message)
        return self


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
    """How long, in seconds, a NoExecute taint is borne."""


_LABELS_RULE = Rule(
    " && ".join(
        f"(!has(self.{field}) || self.{field}.all(key, key.matches('{_LABEL_KEY}'){value}))"
        for field, value in (
            ("labels", f" && self.labels[key].matches('{_LABEL_VALUE}')"),
            ("nodeSelector", f" && self.nodeSelector[key].matches('{_LABEL_VALUE}')"),
            ("annotations", ""),
        )
    ),
    "pod.labels, pod.annotations and pod.nodeSelector take keys such as example.com/name; label values are at most 63 "
    "letters, digits, '-', '_' and '.'",
)
_OWN_LABELS_RULE = Rule(
    "!has(self.labels) || self.labels.all(key, !key.startsWith('finetune.dev/') && !key.startsWith('batch.kubernetes.io/'))",
    "pod.labels: those under finetune.dev/ and batch.kubernetes.io/ are set by the operator and by Kubernetes",
)


class PodSettings(ApiModel):
    """What the training pod needs on this cluster; all of it optional."""

    model_config = ConfigDict(json_schema_extra=validations(_OWN_LABELS_RULE, _LABELS_RULE))

    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^\S+$")] | None = None
    """Image of the trainer. The operator's default if left out."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pod. It needs no rights on the Kubernetes API."""
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] = []
    """Secrets to pull the image with."""
    node_selector: Labels = {}
    """Labels that a node must have, such as nvidia.com/gpu.product."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that the pod bears."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pod."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables of the trainer."""
    labels: Labels = {}
    """Labels of Job and pod besides our own, such as kueue.x-k8s.io/queue-name. Those under app.kubernetes.io/ take the place of ours."""
    annotations: Annotations = {}
    """Annotations of the pod."""

    @model_validator(mode="after")
    def _labels_are_labels(self) -> "PodSettings":
        pairs = [*self.labels.items(), *self.node_selector.items()]
        keys = [*self.labels, *self.node_selector, *self.annotations]
        if not all(re.fullmatch(_LABEL_KEY, key) for key in keys) or not all(
            re.fullmatch(_LABEL_VALUE, v) for _, v in pairs
        ):
            raise PydanticCustomError("labels", _LABELS_RULE.message)
        if any(key.startswith(("finetune.dev/", "batch.kubernetes.io/")) for key in self.labels):
            raise PydanticCustomError("labels", _OWN_LABELS_RULE.message)
        return self
