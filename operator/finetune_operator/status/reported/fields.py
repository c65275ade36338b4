"""What the status says of a run by its trainer's reports, once it is decided how the job is."""

from finetune_api.report import TrainerState
from finetune_api.status import LatestCheckpoint, Progress, Provenance
from finetune_operator.job.observation import Observation
from finetune_operator.status.verdict import Verdict


def reported_fields(known: TrainerState, verdict: Verdict, observed: Observation) -> dict[str, object]:
    """The fields of the status that come from the reports, by name."""
    return {
        "progress": _progress(known, verdict),
        "metrics": known.metrics,
        "evaluations": known.evaluations,
        "curves": known.curves,
        "checkpoints": known.checkpoints,
        "latest_checkpoint": _latest(known),
        "best_checkpoint": known.best_checkpoint,
        "model": known.model,
        "adjustments": known.adjustments,
        "warnings": known.warnings,
        "preflight": known.preflight,
        "provenance": _provenance(known, observed),
        "tracking": known.tracking,
    }


def _progress(known: TrainerState, verdict: Verdict) -> Progress | None:
    if known.progress is None:
        return None
    # An estimate is about a run that goes on.
    over = {"eta_seconds": None, "deadline_seconds": None, "last_progress_time": None}
    if verdict.phase == "Succeeded":
        return known.progress.model_copy(update={"percent": 100, **over})
    if verdict.phase != "Running":
        return known.progress.model_copy(update=over)
    return known.progress


def _latest(known: TrainerState) -> LatestCheckpoint | None:
    if not known.checkpoints:
        return None
    newest = known.checkpoints[-1]
    return LatestCheckpoint(step=newest.step, uri=newest.uri)


def _provenance(known: TrainerState, observed: Observation) -> Provenance | None:
    image = next((pod.image for pod in reversed(observed.pods) if pod.image), None)
    if image is None:
        return known.provenance
    return (known.provenance or Provenance()).model_copy(update={"image": image[:512]})
