"""Which evaluation is the best, and when to wait no longer for a better one."""

import pytest

from finetune_trainer.progress.best import EarlyStop, best_of, early_stop
from finetune_trainer.progress.history import Line


def evaluations(metric: str, *values: float | None) -> list[Line]:
    """Evaluations after steps 10, 20, …; None where the metric was not finite and so is not there."""
    return [
        Line(kind="evaluation", step=10 * number, epoch=number, metrics={metric: value} if value is not None else {})
        for number, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("eval_f1", [0.5, 0.7, 0.7, 0.6], 20),
        ("eval_loss", [0.5, 0.4, 0.4, 0.6], 20),
        ("eval_perplexity", [5, 4, 3], 30),
        ("eval_mse", [None, 4, 5], 20),
        ("eval_accuracy", [None, None], None),
        ("eval_accuracy", [], None),
    ],
)
def test_the_best_is_the_earliest_of_equals_in_the_metrics_own_direction(
    metric: str, values: list[float | None], best: int | None
) -> None:
    found = best_of(evaluations(metric, *values), metric)

    assert (found.step if found else None) == best


@pytest.mark.parametrize(
    ("metric", "values", "patience", "stop"),
    [
        ("eval_f1", [0.5, 0.6, 0.6], 2, None),
        ("eval_f1", [0.5, 0.6, 0.6, 0.5], 2, EarlyStop(40, 4, 20, 0.6)),
        ("eval_f1", [0.5, 0.4, 0.6, 0.5, 0.9], 2, None),
        ("eval_f1", [0.5, 0.4, 0.6], 1, EarlyStop(20, 2, 10, 0.5)),
        ("eval_loss", [0.5, 0.6, 0.7, 0.1], 2, EarlyStop(30, 3, 10, 0.5)),
        ("eval_f1", [0.5, None, None], 2, EarlyStop(30, 3, 10, 0.5)),
        ("eval_f1", [None, None, 0.1, 0.2], 2, None),
    ],
)
def test_patience_ends_at_the_evaluation_that_brings_no_better_value_in_a_row(
    metric: str, values: list[float | None], patience: int, stop: EarlyStop | None
) -> None:
    assert early_stop(evaluations(metric, *values), metric, patience) == stop
