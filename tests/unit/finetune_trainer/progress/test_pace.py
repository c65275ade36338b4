"""The progress that is reported follows from steps, rows and seconds alone."""

from finetune_api.status import Progress
from finetune_trainer.progress.pace import Pace, completed

RESUMED = Pace(total_steps=100, rows=800, first_step=20, first_epoch=0.4, start=1000.0)


def test_before_a_step_nothing_is_known_of_the_speed() -> None:
    progress = RESUMED.progress(step=20, epoch=0.4, now=1000.0)

    assert progress == Progress(step=20, total_steps=100, epoch="0.4", percent=20)


def test_speed_and_time_left_are_those_of_this_attempt() -> None:
    progress = RESUMED.progress(step=30, epoch=0.6, now=1005.0)

    assert progress == Progress(
        step=30, total_steps=100, epoch="0.6", percent=30, eta_seconds=35, samples_per_second="32"
    )


def test_a_run_that_ended_early_is_complete() -> None:
    assert completed(40, 0.8) == Progress(step=40, total_steps=40, epoch="0.8", percent=100, eta_seconds=0)
