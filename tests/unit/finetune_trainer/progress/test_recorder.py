"""What an engine reports comes into the history and the run's state."""

from collections.abc import Callable

import pytest
from tests.unit.finetune_trainer.progress.runs import Run

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.progress.recorder import Recorder


def test_logs_and_evaluations_are_known_by_their_step(run: Run) -> None:
    run.recorder.log(4, 0.4, {"loss": 1.5, "grad_norm": 0.5})
    run.recorder.evaluated(5, 0.5, {"eval_loss": 1.25, "eval_f1": 0.75})

    steps = (4, 5)
    assert [run.recorder.is_logged(step) for step in steps] == [True, False]
    assert [run.recorder.is_evaluated(step) for step in steps] == [False, True]
    assert run.history.newest() == {"loss": 1.5, "grad_norm": 0.5, "eval_loss": 1.25, "eval_f1": 0.75}
    assert [evaluation.step for evaluation in run.state.current.evaluations] == [5]


def test_an_evaluation_is_a_stage_of_its_own_and_one_that_fails_stays_it(run: Run) -> None:
    stages = [run.recorder.is_evaluating]
    with run.recorder.evaluating(30):
        stages.append(run.recorder.is_evaluating)
        message = run.state.report().message
    stages.append(run.recorder.is_evaluating)
    with pytest.raises(MemoryError), run.recorder.evaluating(30):
        raise MemoryError
    stages.append(run.recorder.is_evaluating)

    assert (stages, message) == ([False, True, False, True], "evaluating 30 rows")


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (lambda recorder: recorder.log(7, 0.7, {"loss": float("nan")}), "loss is nan at step 7"),
        (lambda recorder: recorder.log(7, 0.7, {"loss": 1.0, "grad_norm": float("inf")}), "grad_norm is inf at step 7"),
        (lambda recorder: recorder.evaluated(7, 0.7, {"eval_loss": float("nan")}), "eval_loss is nan at step 7"),
        (lambda recorder: recorder.check_finite(7, {"loss": float("-inf")}), "loss is -inf at step 7"),
    ],
)
def test_what_is_not_finite_ends_the_run_and_names_the_step(
    run: Run, report: Callable[[Recorder], None], problem: str
) -> None:
    run.recorder.log(5, 0.5, {"loss": 1.0, "grad_norm": 1.0})

    with pytest.raises(TrainerError) as caught:
        report(run.recorder)

    assert caught.value.exit_code == ExitCode.LOSS_NOT_FINITE
    assert caught.value.message == f"{problem}; the last finite one was seen at step 5"


@pytest.mark.parametrize(
    ("step", "metric", "hint"),
    [
        (1, "loss", "no learning rate is to blame: use bf16"),
        (1, "grad_norm", "no learning rate is to blame: use bf16"),
        (1, "eval_loss", "lower training.learningRate"),
        (2, "loss", "lower training.learningRate"),
    ],
)
def test_the_learning_rate_is_blamed_only_for_what_was_learnt(run: Run, step: int, metric: str, hint: str) -> None:
    with pytest.raises(TrainerError) as caught:
        run.recorder.check_finite(step, {metric: float("nan")})

    assert hint in (caught.value.hint or "")


def test_a_metric_that_is_not_finite_is_left_out(run: Run) -> None:
    run.recorder.evaluated(7, 0.7, {"eval_loss": 1.0, "eval_f1": float("nan")})

    assert run.history.evaluation_at(7) == {"eval_loss": 1.0}
    assert [metric.name for metric in run.state.current.metrics] == ["eval_loss"]
