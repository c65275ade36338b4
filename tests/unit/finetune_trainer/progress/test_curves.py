"""The curves that reports have: those of the whole history, also of a run that resumed, and never more."""

from pathlib import Path

import pytest
from tests.unit.finetune_trainer.progress.runs import Run, configure, snapshot

from finetune_api.curves import Curves
from finetune_api.report import MAX_TERMINATION_BYTES, ExitCode, FinalReport
from finetune_api.thinning import Point
from finetune_trainer.progress.curves import RunCurves
from finetune_trainer.progress.state import RunState


def train(run: Run, first: int, last: int) -> None:
    """Log each step, evaluate each tenth one, and save each twentieth one."""
    for step in range(first, last + 1):
        run.recorder.step(step, step / 10)
        run.recorder.log(step, step / 10, {"loss": 100 / step, "grad_norm": 1.0, "learning_rate": 1e-5, "tokens": 5.0})
        if step % 10 == 0:
            run.evaluate(step, step / 100)
        if step % 20 == 0:
            run.recorder.save(snapshot(step))
            run.checkpointing.wait()


def steps(run: Run) -> tuple[int, ...]:
    curves = run.state.report().curves
    return curves.training.at if curves and curves.training else ()


def test_reports_have_the_curves_of_all_that_was_logged_and_evaluated(tmp_path: Path) -> None:
    run = Run(tmp_path, configure())

    train(run, 1, 20)

    curves = run.state.report().curves
    assert curves is not None
    assert curves.steps_per_epoch == "10"
    assert curves.training is not None
    assert curves.training.names == ("loss", "learning_rate", "grad_norm")
    assert curves.training.at == tuple(range(1, 21))
    assert curves.points("eval_f1") == [(10, 0.1), (20, 0.2)]
    assert curves.points("eval_loss") == [(10, 1.0), (20, 1.0)]


def test_a_run_that_resumes_has_its_curves_up_to_its_checkpoint_and_no_step_twice(tmp_path: Path) -> None:
    first = Run(tmp_path / "out", configure())
    train(first, 1, 27)
    whole = Run(tmp_path / "whole", configure())
    train(whole, 1, 40)

    second = Run(tmp_path / "out", configure())
    resumed = steps(second)
    train(second, 21, 40)

    assert resumed == tuple(range(1, 21))
    assert second.state.report().curves == whole.state.report().curves


def test_a_run_that_starts_over_says_that_it_has_no_curves(tmp_path: Path) -> None:
    train(Run(tmp_path, configure()), 1, 5)

    assert Run(tmp_path, configure()).state.report().curves == Curves()


def test_a_run_that_has_not_looked_at_its_output_says_nothing_of_curves() -> None:
    assert RunState().report().curves is None


def test_the_final_report_of_a_long_run_has_some_points_of_its_curves(tmp_path: Path) -> None:
    run = Run(tmp_path, configure())
    train(run, 1, 99)

    text = run.state.final(ExitCode.SUCCESS, None).to_termination_message()

    curves = FinalReport.model_validate_json(text).curves
    assert len(text.encode()) <= MAX_TERMINATION_BYTES
    assert curves is not None
    assert curves.training is not None
    assert (curves.training.at[0], curves.training.at[-1]) == (1, 99)
    assert len(curves.training.at) >= 16
    assert curves.points("eval_f1")[-1] == (90, 0.9)


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_long_history_is_the_same_curve_whether_it_grew_or_was_read(count: int) -> None:
    points = [Point(step, {"loss": 1 / step + (step % 7) / 10}) for step in range(1, count + 1)]
    grown, read = RunCurves(), RunCurves()

    for point in points:
        grown.log(point, point.step / 100)
    read.restart(points, [], 100.0)

    assert grown.thinned() == read.thinned()
    assert grown.thinned().points("loss")[0] == (1, 1.1)
    assert grown.thinned().points("loss")[-1][0] == count
