"""What of some steps and batches is counted, and when enough of them are."""

from pathlib import Path

import datasets
import pytest

from finetune_trainer.data.examples import Examples
from finetune_trainer.run.preflight.stopwatch import Stopwatch
from finetune_trainer.run.preflight.table import shown_seconds
from finetune_trainer.run.preflight.timing import some_batches, spread


class Training:
    """Steps of so many seconds each, until the stopwatch has enough."""

    def __init__(self, *seconds: float) -> None:
        self.now = 0.0
        self.stopwatch = Stopwatch(Path(), lambda: self.now)
        self.stopwatch.begin(0, len(seconds), 0.0, 100)
        for step, length in enumerate(seconds, start=1):
            if self.stopwatch.stop_requested:
                break
            self.now += length
            self.stopwatch.step(step, 0.0)


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [
        ((9, 8, 1, 2, 3), [1, 2, 3]),
        ((9, 8), [8]),
        ((9,), [9]),
        ((5,) * 100, [5] * 5),
        ((0.5,) * 100, [0.5] * 38),
        ((0.1,) * 100, [0.1] * 50),
        ((30,) * 100, [30]),
    ],
    ids=["first", "two", "one", "enough", "20 seconds", "most", "patience"],
)
def test_steps_are_counted_after_the_first_until_there_are_enough(
    seconds: tuple[float, ...], counted: list[float]
) -> None:
    assert Training(*seconds).stopwatch.steps == pytest.approx(counted)


def test_batches_are_timed_from_one_to_the_next_and_end_the_training() -> None:
    training = Training(1.0)
    stopwatch = training.stopwatch

    with stopwatch.evaluating(30):
        during = stopwatch.is_evaluating
        for _ in range(3):
            training.now += 2.0
            assert not stopwatch.ask_to_stop()

    assert (stopwatch.batch, during, stopwatch.is_evaluating, stopwatch.stop_requested) == (2.0, True, False, True)


def test_an_evaluation_that_takes_minutes_is_cut() -> None:
    training = Training(1.0)

    with training.stopwatch.evaluating(30):
        training.now += 61.0
        cut = training.stopwatch.ask_to_stop()

    assert (cut, training.stopwatch.batch) == (True, 61.0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([2.0], (2.0, 2.0)), ([3.0, 1.0], (1.0, 3.0)), ([2.0] * 5, (2.0, 2.0)), ([1.0, 2.0, 3.0] * 3, (1.423, 2.577))],
)
def test_the_mean_of_all_steps_lies_within_two_standard_errors_of_that_of_some(
    seconds: list[float], expected: tuple[float, float]
) -> None:
    assert spread(seconds) == pytest.approx(expected, abs=1e-3)


def test_of_an_evaluation_batches_of_every_length_are_timed() -> None:
    lengths = list(range(1, 101))
    examples = Examples(datasets.Dataset.from_dict({"n": lengths}), lengths)

    some = some_batches(examples, size=5)

    assert some.lengths[::5] == [100, 85, 70, 55, 40, 25, 10]
    assert some_batches(examples, size=100).lengths == lengths[::-1]


def test_a_time_is_told_in_its_two_largest_units() -> None:
    shown = {0.2: "1 s", 59.4: "59 s", 60: "1 min", 200: "3 min 20 s", 7_500: "2 h 5 min", 274_000: "3 d 4 h"}

    assert {seconds: shown_seconds(seconds) for seconds in shown} == shown
