"""Parts of a job in a few characters."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from finetune.snapshot import Snapshot, read_snapshot
from finetune.summary import SHAPES
from finetune_api.status import Phase
from finetune_cli.display.words import duration, gpu_hours, loss_bars, phase_text, progress_bar


def job(**status: Any) -> Snapshot:
    return read_snapshot({"metadata": {"name": "stars", "namespace": "team-a"}, "spec": {}, "status": status})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (150, "2m30s"),
        (900, "15m"),
        (97_200, "1d3h"),
        (2_000_000, "23d"),
    ],
)
def test_a_time_is_told_in_its_largest_unit_or_two(seconds: int, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("phase", get_args(Phase))
def test_each_phase_has_a_shape_and_a_colour(phase: Any) -> None:
    shown = phase_text(job(phase=phase))

    assert shown.plain == f"{SHAPES[phase]} {phase}"
    assert shown.style


@pytest.mark.parametrize(
    ("status", "bar"),
    [
        ({}, "–"),
        ({"phase": "Running", "progress": {"step": 1, "percent": 67, "etaSeconds": 540}}, "██████░░░░  67 %  9m"),
        ({"phase": "Failed", "progress": {"step": 1, "percent": 18, "etaSeconds": 540}}, "█░░░░░░░░░  18 %"),
    ],
)
def test_the_bar_has_the_time_that_is_left_as_long_as_it_runs(status: dict[str, Any], bar: str) -> None:
    assert progress_bar(job(**status)) == bar


@pytest.mark.parametrize(
    ("values", "bars"),
    [("1", "▁"), ("2 2", "▁▁"), ("8 7 6 5 4 3 2", "█▇▆▅▃▂▁"), ("3 nan 1", "█▁")],
)
def test_the_loss_is_a_bar_for_each_value(values: str, bars: str) -> None:
    steps = " ".join(str(step) for step, _ in enumerate(values.split(), start=1))

    curves = {"training": {"steps": steps, "series": [{"name": "loss", "values": values}]}}

    assert loss_bars(job(phase="Running", curves=curves)) == bars


def test_of_a_long_loss_seven_values_are_shown_with_the_last() -> None:
    numbers = " ".join(map(str, range(1, 101)))
    curves = {"training": {"steps": numbers, "series": [{"name": "loss", "values": numbers}]}}

    assert loss_bars(job(phase="Running", curves=curves)) == "▁▂▃▅▆▇█"


def test_a_job_without_curves_or_usage_has_neither() -> None:
    assert (loss_bars(job()), gpu_hours(job())) == ("", "–")
