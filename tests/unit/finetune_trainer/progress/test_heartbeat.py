"""How long a run may make no move."""

import os
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Stage
from finetune_trainer.base.heartbeat import Beat, read_beats
from finetune_trainer.progress.heartbeat import Heartbeat


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def steps(heartbeat: Heartbeat, clock: Clock, count: int, seconds: float) -> None:
    for step in range(1, count + 1):
        clock.now += seconds
        heartbeat.step(step)


def evaluate(heartbeat: Heartbeat, clock: Clock, seconds: float) -> None:
    heartbeat.stage("Evaluating", "evaluating 9 rows")
    clock.now += seconds
    heartbeat.stage("Training", None)


@pytest.mark.parametrize(
    ("step_seconds", "evaluation_seconds", "deadline"), [(0.5, 0, 120), (9, 0, 180), (0.5, 500, 500), (60, 500, 1200)]
)
def test_the_longest_silence_follows_from_steps_and_evaluations(
    folder: Path, clock: Clock, step_seconds: float, evaluation_seconds: float, deadline: float
) -> None:
    heartbeat = Heartbeat(folder, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 10, step_seconds)
    evaluate(heartbeat, clock, evaluation_seconds)
    steps(heartbeat, clock, 3, step_seconds)

    assert heartbeat.deadline == deadline


def test_a_single_slow_step_does_not_change_it(folder: Path, clock: Clock) -> None:
    heartbeat = Heartbeat(folder, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 20, 9)
    clock.now += 170
    heartbeat.step(21)

    assert heartbeat.deadline == 180


def test_what_was_asked_for_holds_for_steps_and_not_for_an_evaluation_that_usually_takes_longer(
    folder: Path, clock: Clock
) -> None:
    heartbeat = Heartbeat(folder, asked=30, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 10, 9)
    evaluate(heartbeat, clock, 300)
    training = heartbeat.deadline
    heartbeat.stage("Evaluating", "evaluating 9 rows")

    assert (training, heartbeat.deadline) == (30, 300)


@pytest.mark.parametrize("stage", ["Preparing", "Saving", "Exporting", "Finished", "Evaluating"])
def test_what_has_no_usual_length_has_no_limit(folder: Path, clock: Clock, stage: Stage) -> None:
    heartbeat = Heartbeat(folder, asked=30, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 10, 1)
    heartbeat.stage(stage, "busy")

    assert heartbeat.deadline is None


def test_the_first_steps_have_none_nor_have_those_after_the_model_is_loaded_again(folder: Path, clock: Clock) -> None:
    heartbeat = Heartbeat(folder, asked=30, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 3, 500)
    first = heartbeat.deadline
    steps(heartbeat, clock, 4, 1)
    known = heartbeat.deadline
    heartbeat.stage("Preparing", "loading the model again")
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 3, 500)

    assert (first, known, heartbeat.deadline) == (None, 30, None)


def test_each_move_is_in_the_file_for_the_watchdog(folder: Path, clock: Clock) -> None:
    heartbeat = Heartbeat(folder, asked=30, rank=1, clock=clock)
    heartbeat.resumed_from(5)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 5, 1)
    (before,) = read_beats(folder)
    heartbeat.stage("Evaluating", "evaluating 9 rows")
    heartbeat.beat()
    (after,) = read_beats(folder)

    assert before == Beat(before.pid, 1, 6, "training", 5, 30.0, 5)
    assert after == Beat(before.pid, 1, 8, "evaluating 9 rows", 5, None, 5)


@pytest.mark.parametrize(("asked", "usual"), [(None, 120.0), (30, 30.0), (31_536_000, 120.0)])
def test_a_launcher_says_how_long_it_may_take_beyond_what_it_waits_for(
    folder: Path, clock: Clock, asked: float | None, usual: float
) -> None:
    heartbeat = Heartbeat(folder, asked=asked, clock=clock)
    told = []
    for doing, takes in (("loading libraries", None), ("waiting for the other pods", 60.0), ("ending", 0.0)):
        heartbeat.launches(doing, takes)
        told += [(beat.doing, beat.seconds, beat.launches) for beat in read_beats(folder)]

    assert told == [
        ("loading libraries", None, True),
        ("waiting for the other pods", usual + 60, True),
        ("ending", usual, True),
    ]


@pytest.mark.parametrize(("stage", "finished"), [("Training", False), ("Finished", True)])
def test_a_run_that_is_over_has_no_steps_to_wait_for(folder: Path, clock: Clock, stage: Stage, finished: bool) -> None:
    heartbeat = Heartbeat(folder, asked=30, clock=clock)
    heartbeat.stage("Training", None)
    steps(heartbeat, clock, 5, 1)
    heartbeat.stage(stage, None)
    heartbeat.ends(None)
    (deleting,) = read_beats(folder)
    heartbeat.ends(120.0)
    (ending,) = read_beats(folder)

    assert [(each.seconds, each.doing, each.ends, each.finished) for each in (deleting, ending)] == [
        (None, "ending", True, finished),
        (120.0, "ending", True, finished),
    ]


def test_nothing_is_written_where_nobody_watches() -> None:
    heartbeat = Heartbeat()
    heartbeat.stage("Training", None)
    steps(heartbeat, Clock(), 5, 1)

    assert heartbeat.deadline is None


def test_a_disk_without_room_ends_the_watch_and_not_the_run(folder: Path, clock: Clock, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    heartbeat = Heartbeat(folder, clock=clock)
    heartbeat.stage("Training", None)
    monkeypatch.setattr(os, "pwrite", full)
    heartbeat.step(1)

    assert (read_beats(folder), heartbeat.deadline) == ([], None)
