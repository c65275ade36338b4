"""The preflight in a pod of its own: whether a job gets one, and its part of the spec."""

from finetune_api.v1alpha1 import FineTuneJobSpec, Resources
from finetune_api.well_known import GPU
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.workload import is_of_kueue

_PLACEMENT_LABELS = ("kubernetes.io/os", "kubernetes.io/arch", "topology.kubernetes.io/")
"""Labels of nodes by which an image and a volume find their place; others choose hardware, which only the training needs."""


def wants_preflight(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> bool:
    """Whether a preflight comes before the Job that is not there: not once anything has been trained."""
    status = finetunejob.status
    return spec.run_policy.preflight == "pod" and status.start_time is None and not status.attempts


def preflight_spec(spec: FineTuneJobSpec) -> FineTuneJobSpec:
    """The spec of the preflight's one pod: no GPU, no quota, and no node that is chosen for its GPUs."""
    pod = spec.pod.model_copy(
        update={
            "node_selector": {key: v for key, v in spec.pod.node_selector.items() if key.startswith(_PLACEMENT_LABELS)},
            "tolerations": [each for each in spec.pod.tolerations if each.key != GPU],
            # A runtime and a place that are asked for are those of GPUs.
            "affinity": None,
            "topology_spread_constraints": [],
            "runtime_class_name": None,
            "accelerator": None,
            "labels": {key: value for key, value in spec.pod.labels.items() if not is_of_kueue(key)},
            "annotations": {key: value for key, value in spec.pod.annotations.items() if not is_of_kueue(key)},
        }
    )
    resources = Resources(gpus=0, cpu=spec.resources.cpu, memory=spec.resources.memory)
    return spec.model_copy(update={"pod": pod, "resources": resources})
