"""What of a FineTuneJob holds for the preflight in a pod of its own, and whether there is to be one."""

from finetune_api.v1alpha1 import FineTuneJobSpec, Resources
from finetune_operator.job.finetunejob import FineTuneJob

_WHERE_IMAGES_RUN = ("kubernetes.io/os", "kubernetes.io/arch", "topology.kubernetes.io/")
"""Labels of nodes that say where an image runs, and where volumes are; others choose hardware, which is for the training."""
_GPU_TAINT = "nvidia.com/gpu"
_KUEUE = "kueue.x-k8s.io/"


def asked_for(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> bool:
    """Whether a preflight comes before the Job that is not there: not once anything has been trained."""
    status = finetunejob.status
    return spec.run_policy.preflight == "pod" and status.start_time is None and not status.attempts


def as_preflight(spec: FineTuneJobSpec) -> FineTuneJobSpec:
    """What of the spec holds for the one pod of the preflight: no GPU, no quota, and no node that is chosen for its GPUs."""
    pod = spec.pod.model_copy(
        update={
            "node_selector": {key: v for key, v in spec.pod.node_selector.items() if key.startswith(_WHERE_IMAGES_RUN)},
            "tolerations": [each for each in spec.pod.tolerations if each.key != _GPU_TAINT],
            "labels": {key: value for key, value in spec.pod.labels.items() if not key.startswith(_KUEUE)},
        }
    )
    resources = Resources(gpus=0, cpu=spec.resources.cpu, memory=spec.resources.memory)
    return spec.model_copy(update={"pod": pod, "resources": resources})
