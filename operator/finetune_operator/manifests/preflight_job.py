"""The batch/v1 Job of the preflight: one small CPU pod that checks settings, model and data before GPUs are asked for."""

from finetune_api.base import JsonObject
from finetune_api.quantity import parse_quantity
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import LABEL_COMPONENT
from finetune_operator.job.claims import claims, source_claims
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.preflight import preflight_spec
from finetune_operator.manifests.job import job_of
from finetune_operator.manifests.pod import Program

_CPU, _MEMORY = "1", "2Gi"
"""What is asked for at the most: reading and tokenizing needs no more, whatever the training needs."""


def build_preflight_job(
    metadata: JsonObject,
    finetunejob: FineTuneJob,
    spec: FineTuneJobSpec,
    pod_defaults: PodDefaults,
    *,
    run_file: str,
    output_bound: bool,
) -> JsonObject:
    """The Job, with the policies of the one that trains.

    Args:
        output_bound: Whether the claim of the output is bound to a volume. One that is not would be bound where this
            pod runs, and keep the training from nodes with GPUs.
    """
    resources = _resources(spec)
    given, sources = preflight_spec(spec), source_claims(spec)
    mounted = {
        claim: written for claim, written in claims(finetunejob, spec).items() if claim in sources or output_bound
    }
    program = Program(mounted, resources, run_file, ("prepare", "--for-job"))
    labels = {**metadata["labels"], LABEL_COMPONENT: "preflight"}
    return job_of(
        {**metadata, "name": finetunejob.names.preflight_job, "labels": labels},
        finetunejob,
        given,
        pod_defaults,
        program,
    )


def _resources(spec: FineTuneJobSpec) -> JsonObject:
    cpu, memory = spec.resources.cpu, spec.resources.memory
    limits = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
    requests = {"cpu": _smaller(_CPU, cpu), "memory": _smaller(_MEMORY, memory)}
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _smaller(usual: str, given: str | None) -> str:
    return given if given and parse_quantity(given) < parse_quantity(usual) else usual
