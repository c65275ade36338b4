"""What we make for a FineTuneJob: pure builders, one file for each kind of child."""

from dataclasses import dataclass

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.manifests.config_map import build_config_map
from finetune_operator.manifests.job import build_job
from finetune_operator.manifests.pvc import build_pvc
from finetune_operator.manifests.service import build_service


@dataclass(frozen=True)
class Children:
    """Everything that a FineTuneJob needs, in the order in which it is made."""

    config_map: JsonObject
    pvc: JsonObject | None
    service: JsonObject | None
    job: JsonObject


def build_children(finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults) -> Children:
    """The children of one FineTuneJob. The same input gives the same manifests."""
    return Children(
        config_map=build_config_map(finetunejob, spec, pod_defaults.ca),
        pvc=build_pvc(finetunejob, spec),
        service=build_service(finetunejob, spec),
        job=build_job(finetunejob, spec, pod_defaults),
    )
