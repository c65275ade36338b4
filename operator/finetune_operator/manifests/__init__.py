"""What we make for a FineTuneJob: pure builders, one file for each kind of child."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.manifests.authority import build_authority
from finetune_operator.manifests.cache import build_cache_claim
from finetune_operator.manifests.job import build_job
from finetune_operator.manifests.metadata import child_metadata
from finetune_operator.manifests.network_policy import build_isolation, build_network_policy
from finetune_operator.manifests.preflight_job import build_preflight_job
from finetune_operator.manifests.pvc import build_pvc
from finetune_operator.manifests.run_file import run_config, run_file
from finetune_operator.manifests.service import build_service


@dataclass(frozen=True)
class Manifests:
    """The children of a FineTuneJob, in the order in which they are made."""

    authority: JsonObject
    """This and the next two are shared by all jobs of the namespace, and have no owner."""
    isolation: JsonObject | None
    cache: JsonObject | None
    network_policy: JsonObject | None
    build_preflight: Callable[[], JsonObject]
    """Builds `preflight_job`."""
    pvc: JsonObject | None
    service: JsonObject | None
    job: JsonObject

    @property
    def preflight_job(self) -> JsonObject:
        """Wanted only where `runPolicy.preflight` asks for it, and built then; the others wait for its success."""
        return self.build_preflight()


def build_children(
    finetunejob: FineTuneJob,
    spec: FineTuneJobSpec,
    pod_defaults: PodDefaults,
    *,
    run_secret: str | None = None,
    output_bound: bool = False,
) -> Manifests:
    """The children of one FineTuneJob. The same input gives the same manifests.

    Args:
        run_secret: Name of the Secret that the pods of the Job prove to each other, where they are many.
        output_bound: Whether the claim of the output is bound to a volume; see `build_preflight_job`.
    """
    metadata = child_metadata(finetunejob)
    text = run_file(run_config(finetunejob, spec))
    return Manifests(
        authority=build_authority(finetunejob.namespace, pod_defaults.ca),
        isolation=build_isolation(finetunejob.namespace, pod_defaults),
        network_policy=build_network_policy(metadata, finetunejob, spec, pod_defaults),
        cache=build_cache_claim(finetunejob.namespace, finetunejob.profile),
        pvc=build_pvc(metadata, finetunejob, spec),
        service=build_service(metadata, finetunejob, spec),
        build_preflight=partial(
            build_preflight_job,
            metadata,
            finetunejob,
            spec,
            pod_defaults,
            run_file=text,
            output_bound=output_bound,
        ),
        job=build_job(metadata, finetunejob, spec, pod_defaults, run_file=text, run_secret=run_secret),
    )
