"""The claims that a run mounts, by the places that its spec names."""

import re

from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.warnings import Subject


def claims(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> dict[str, bool]:
    """Every claim that the run names, the output's first, and whether it is written to."""
    output = claim_of(finetunejob.output)
    return {claim: claim == output for claim in (output, *source_claims(spec)) if claim}


def claim_subjects(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> tuple[Subject, ...]:
    """The claims of the run as what Warnings may be about, each with the field that decides about it."""
    fields = {claim_of(spec.model.source): "model.source", claim_of(spec.dataset.source): "dataset.source"}
    output = "output.uri" if spec.output.uri else "output.storageClassName"
    return tuple(
        Subject("PersistentVolumeClaim", claim, field=output if written else fields[claim])
        for claim, written in claims(finetunejob, spec).items()
    )


def source_claims(spec: FineTuneJobSpec) -> list[str]:
    """The claims of model and data."""
    return [claim for claim in map(claim_of, (spec.model.source, spec.dataset.source)) if claim]


def claim_of(uri: str) -> str | None:
    """The claim of pvc://claim/path."""
    match = re.match(r"pvc://([^/]+)", uri)
    return match.group(1) if match else None
