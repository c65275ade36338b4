"""The one line that says how far a run is."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import parsed

from finetune_api.report import TrainerState
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.status.messages import describe_end, describe_progress

SMALLER = {"step": 12, "reason": "CudaOutOfMemory", "message": "batches of 4 rows, two of them to a step, for 8"}
STOP = {"step": 120, "reason": "EarlyStopping", "message": "eval_f1 has not become better in 3 evaluations"}
STATE: dict[str, Any] = {
    "progress": {"step": 140, "epoch": "1.12", "etaSeconds": 312},
    "metrics": [{"name": "loss", "value": "1.2"}, {"name": "eval_accuracy", "value": "0.58"}],
}


def spec(**change: Any) -> FineTuneJobSpec:
    found = parsed(**change).spec
    assert found is not None
    return found


def state(**change: Any) -> TrainerState:
    return TrainerState.model_validate({**STATE, **change})


def test_what_the_run_changed_by_itself_is_reported_while_it_trains() -> None:
    lines = [
        describe_progress(spec(), state(adjustments=[SMALLER]), "Training"),
        describe_progress(spec(), state(adjustments=[SMALLER, STOP]), "Exporting"),
    ]

    assert lines == [
        "epoch 1.1 of 3, loss 1.20, accuracy 0.58, about 5 min left; "
        "since step 12: batches of 4 rows, two of them to a step, for 8",
        "exporting the model: epoch 1.1 of 3, loss 1.20, accuracy 0.58; "
        "stopped early at step 120: eval_f1 has not become better in 3 evaluations",
    ]


def test_an_end_says_why_it_came_early() -> None:
    lines = [
        describe_end(spec(), state()),
        describe_end(spec(), state(adjustments=[SMALLER])),
        describe_end(spec(), state(adjustments=[SMALLER, STOP])),
        describe_end(spec(), state(adjustments=[STOP], metrics=[])),
        describe_end(spec(), state(tracking=[{"tracker": "mlflow", "message": "m"}, {"tracker": "tensorboard"}])),
    ]

    early = "stopped early at step 120: eval_f1 has not become better in 3 evaluations"
    assert lines == [
        "finished after 140 steps, loss 1.20, accuracy 0.58",
        "finished after 140 steps, loss 1.20, accuracy 0.58",
        f"{early}; loss 1.20, accuracy 0.58",
        early,
        "finished after 140 steps, loss 1.20, accuracy 0.58; not all has arrived at mlflow: see status.tracking",
    ]


@pytest.mark.parametrize(
    ("change", "metrics", "told"),
    [
        ({"task": "text-classification"}, {"eval_accuracy": "0.9"}, "accuracy 0.90"),
        ({"task": "text-classification"}, {"eval_f1": "0.7"}, "f1 0.70"),
        ({"task": "text-classification"}, {"eval_spearmanr": "0.7", "eval_pearsonr": "0.8"}, "pearsonr 0.80"),
        ({"task": "token-classification"}, {"eval_accuracy": "0.9", "eval_f1": "0.6"}, "f1 0.60"),
        ({"task": "causal-lm"}, {"eval_loss": "2", "eval_perplexity": "7.389"}, "perplexity 7.39"),
        ({"task": "seq2seq"}, {"eval_rouge1": "0.4", "eval_rougeL": "0.3"}, "rougeL 0.30"),
        ({"task": "seq2seq", "evaluation": {"bestMetric": "loss"}}, {"eval_loss": "2"}, "evaluation loss 2.00"),
    ],
)
def test_without_named_metrics_the_tasks_most_telling_one_is_shown(
    change: dict[str, Any], metrics: dict[str, str], told: str
) -> None:
    evaluation = {"metrics": None, "bestMetric": None, **change.get("evaluation", {})}
    found = state(metrics=[{"name": name, "value": value} for name, value in metrics.items()])

    assert describe_end(spec(**{**change, "evaluation": evaluation}), found) == f"finished after 140 steps, {told}"
