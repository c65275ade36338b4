"""What there is to know of a job at a glance, in words: its best metric, why it is so, and whether it needs a person."""

from collections.abc import Iterable, Sequence
from typing import Final

from finetune.snapshot import Snapshot
from finetune_api.reasons import Reason
from finetune_api.status import MetricValue

NOTHING: Final = "–"
SHAPES: Final = {
    "Pending": "○",
    "Queued": "○",
    "Preparing": "◐",
    "Running": "●",
    "Suspended": "❙",
    "Succeeded": "✓",
    "Failed": "✕",
}
"""Of each phase: never is it told by a colour alone."""


def most_urgent_first(jobs: Iterable[Snapshot]) -> list[Snapshot]:
    """Sort: failed and stalled ones first, then the newest."""
    return sorted(jobs, key=lambda job: (not needs_a_person(job), -job.created.timestamp(), job.namespace, job.name))


def needs_a_person(job: Snapshot) -> bool:
    """Whether it failed, does not move, or goes on no more without somebody (kstatus's Stalled)."""
    stalled = any(each.type == "Stalled" and each.status == "True" for each in job.status.conditions)
    return job.phase == "Failed" or (not job.ended and (stalled or job.reason == Reason.NOT_MOVING))


def best(job: Snapshot) -> str:
    """Return the metric of the best checkpoint, or else the newest of the evaluations, such as `accuracy 0.581`."""
    chosen = job.status.best_checkpoint
    if chosen is not None:
        return f"{metric_name(chosen.metric)} {short_number(chosen.value)}"
    evaluated = [each for each in job.status.metrics if each.name.startswith("eval_") and each.name != "eval_loss"]
    return metric_text(evaluated[0]) if evaluated else NOTHING


def loss_line(job: Snapshot, most: int) -> list[float]:
    """Return at most `most` values of the loss, evenly chosen, the first and the last among them."""
    return evenly([value for _, value in job.status.curves.points("loss")] if job.status.curves else [], most)


def evenly(values: Sequence[float], most: int) -> list[float]:
    """Return at most `most` of the values, which are two or more, evenly chosen, the first and the last among them."""
    if len(values) <= most:
        return [*values]
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def metric_text(metric: MetricValue) -> str:
    """Return name and value of a metric, rounded for reading."""
    return f"{metric_name(metric.name)} {short_number(metric.value)}"


def metric_name(name: str) -> str:
    """Return the name as `evaluation.metrics` has it. The loss of an evaluation is not that of the training."""
    return "evaluation loss" if name == "eval_loss" else name.removeprefix("eval_")


def short_number(text: str) -> str:
    """Return a number in four digits or so; whatever is none as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def why(job: Snapshot) -> str:
    """Return in a line why the job is so: reason and message of a failure or of what it waits for."""
    status = job.status
    if job.phase == "Failed" and status.failure is not None:
        return f"{status.failure.reason}: {status.failure.message}"
    if job.phase in ("Running", "Succeeded") and not needs_a_person(job):
        return f"{status.warnings[0].reason}: {status.warnings[0].message}" if status.warnings else NOTHING
    if job.wants_new_run:
        return "a new run is asked for (spec.runToken)"
    return status.message or unseen(job) or NOTHING


def unseen(job: Snapshot) -> str:
    """Return that no operator has written a status yet, where that is so."""
    return "" if job.status.phase else "no operator has seen it yet"
