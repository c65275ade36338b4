"""Which evaluation is the best, and when to wait no longer for a better one.

Decided from the history alone, so that a resumed or repeated run decides the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.training import LOWER_IS_BETTER, Evaluation
from finetune_trainer.progress.history import Line


@dataclass(frozen=True)
class EarlyStop:
    """The evaluation that patience ended with, and the best one before it."""

    step: int
    epoch: float
    best_step: int
    best_value: float


def best_metric(evaluation: Evaluation) -> str | None:
    """Return the name in the history of the metric that chooses the best checkpoint, such as eval_f1."""
    return f"eval_{evaluation.best_metric}" if evaluation.best_metric else None


def is_better(metric: str, value: float, than: float) -> bool:
    """Return whether `value` of a metric such as eval_f1 is better than another one."""
    lower = metric.removeprefix("eval_") in LOWER_IS_BETTER
    return value < than if lower else value > than


def best_of(evaluations: Sequence[Line], metric: str) -> Line | None:
    """Return the evaluation with the best value of `metric`; of equals the earliest."""
    best: Line | None = None
    for line in evaluations:
        if metric in line.metrics and (
            best is None or is_better(metric, line.metrics[metric], than=best.metrics[metric])
        ):
            best = line
    return best


def early_stop(evaluations: Sequence[Line], metric: str, patience: int) -> EarlyStop | None:
    """Return where `metric` had not become better in `patience` evaluations one after the other.

    Args:
        evaluations: In the order of their steps.
    """
    best: Line | None = None
    waited = 0
    for line in evaluations:
        if best_of([best, line] if best else [line], metric) is line:
            best, waited = line, 0
        elif best:
            waited += 1
            if waited >= patience:
                return EarlyStop(line.step, line.epoch, best.step, best.metrics[metric])
    return None
