"""What a run changes by itself is reported, and is the same for every later attempt."""

from pathlib import Path

from tests.unit.finetune_trainer.progress.runs import Run, configure, snapshot

from finetune_api.status import Adjustment
from finetune_trainer.settings.batch_plan import BatchPlan


def test_smaller_batches_hold_for_every_later_attempt_and_are_reported(tmp_path: Path) -> None:
    run = Run(tmp_path, configure())
    asked = run.progress.adjustments.batch
    halved = BatchPlan(batch_size=4, accumulation=2, evaluation_batch_size=8, activation_checkpointing=False)
    run.recorder.save(snapshot(10))
    run.checkpointing.wait()

    run.progress.adjustments.change(halved, run.store.newest)
    run.store.close()
    again = Run(tmp_path, configure())

    assert asked == BatchPlan(batch_size=8, accumulation=1, evaluation_batch_size=8, activation_checkpointing=False)
    expected = Adjustment(
        step=11,
        reason="CudaOutOfMemory",
        message="batch size 8 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before",
    )
    for attempt in (run, again):
        assert attempt.progress.adjustments.batch == halved
        assert attempt.state.current.adjustments == [expected]


def test_a_run_ends_where_patience_ends_and_so_does_every_later_attempt(tmp_path: Path) -> None:
    config = configure(patience=2)
    run = Run(tmp_path, config)
    for step, f1 in ((10, 0.5), (20, 0.83), (30, 0.83), (40, 0.7)):
        assert not run.progress.is_over(step, 100)
        run.evaluate(step, f1)
        run.recorder.save(snapshot(step))
    run.recorder.end()
    run.store.close()

    again = Run(tmp_path, config)

    expected = Adjustment(
        step=40,
        reason="EarlyStopping",
        message="eval_f1 has not become better than 0.83 of step 20 in 2 evaluations",
    )
    for attempt in (run, again):
        assert attempt.progress.is_over(40, 100)
        assert attempt.state.current.adjustments == [expected]
    progress = run.state.current.progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent, progress.eta_seconds) == (40, 40, 100, 0)
    assert again.reported == [20, 40]


def test_an_evaluation_after_the_newest_checkpoint_does_not_end_a_resumed_run(tmp_path: Path) -> None:
    config = configure(patience=1)
    killed = Run(tmp_path, config)
    killed.evaluate(10, 0.5)
    killed.recorder.save(snapshot(10))
    killed.recorder.end()
    killed.evaluate(20, 0.4)

    resumed = Run(tmp_path, config)

    assert killed.progress.is_over(20, 100)
    assert not resumed.progress.is_over(10, 100)
    assert resumed.state.current.adjustments == []
