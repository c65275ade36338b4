"""Where pods may run, as on a Pod: tolerations, affinity and spread.

The fields are those of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#scheduling, bounded in length.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.labels import LabelKey, LabelSelector, LabelValue, SelectedKey, SelectedValue
from finetune_api.rules import Rule

Weight: TypeAlias = Annotated[int, Field(ge=1, le=100)]


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


_NODE_VALUES: Final = Rule["NodeRequirement"](
    cel="self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0"
    " : has(self.values) && (self.operator in ['Gt', 'Lt'] ? size(self.values) == 1 : size(self.values) > 0)",
    holds=lambda self: (
        not self.values
        if self.operator in ("Exists", "DoesNotExist")
        else len(self.values) == 1
        if self.operator in ("Gt", "Lt")
        else bool(self.values)
    ),
    message="operators In and NotIn need values, Gt and Lt exactly one; Exists and DoesNotExist have none",
)


class NodeRequirement(ApiModel):
    """What must hold of one label of a node."""

    rules = (_NODE_VALUES,)

    key: SelectedKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """What must hold of its value."""
    values: Annotated[list[SelectedValue], Field(max_length=32)] = []
    """Values, for In and NotIn; one number for Gt and Lt."""


class NodeSelectorTerm(ApiModel):
    """What must hold of a node, all of it."""

    match_expressions: Annotated[list[NodeRequirement], Field(min_length=1, max_length=8)]
    """What must hold of its labels."""


class NodeSelector(ApiModel):
    """Nodes for which at least one of the terms holds."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=4)]
    """Terms, of which one must hold."""


class PreferredNodes(ApiModel):
    """Nodes that are better than others."""

    weight: Weight
    """How much better, from 1 to 100."""
    preference: NodeSelectorTerm
    """Which nodes."""


class NodeAffinity(ApiModel):
    """Nodes that the pods must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that they must run on."""
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredNodes], Field(max_length=4)] = []
    """Nodes that they should run on."""


class PodAffinityTerm(ApiModel):
    """Pods of the job's namespace, and how near is near."""

    label_selector: LabelSelector
    """Pods by their labels. Those of a job share finetune.dev/job-name, a label that the operator sets."""
    topology_key: SelectedKey
    """Label of nodes whose value is the same for places that are near each other, such as kubernetes.io/hostname."""


class PreferredPods(ApiModel):
    """Pods that it is better to be near to, or far from."""

    weight: Weight
    """How much better, from 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """Which pods."""


class PodAffinity(ApiModel):
    """Pods that the job's pods must or should be near to, or far from."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], Field(max_length=4)] = []
    """Which they must."""
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPods], Field(max_length=4)] = []
    """Which they should."""


class Affinity(ApiModel):
    """As on a Pod: nodes and pods to be near to or far from."""

    node_affinity: NodeAffinity | None = None
    """Nodes that the pods must or should run on."""
    pod_affinity: PodAffinity | None = None
    """Pods that they must or should be near to."""
    pod_anti_affinity: PodAffinity | None = None
    """Pods that they must or should be far from."""


class TopologySpreadConstraint(ApiModel):
    """As on a Pod: how evenly the pods of a job are spread."""

    max_skew: Annotated[int, Field(ge=1, le=256)]
    """By how many pods places may differ."""
    topology_key: SelectedKey
    """Label of nodes whose values are the places, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """Whether a pod waits, or only prefers what spreads better."""
    label_selector: LabelSelector | None = None
    """Pods that are counted; those of the job if left out."""
