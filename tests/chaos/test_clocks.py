"""Clocks that differ by hours: of the operator, of the trainers, and of the API server, by whose clock all times of objects are."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.fixtures import Scene, chaos_job

SKEWED = Path(__file__).with_name("skewed.py")


@pytest.mark.slow
@pytest.mark.parametrize("hours", [-3, 3], ids=["behind", "ahead"])
def test_an_operator_whose_clock_is_hours_off_ends_no_job_early_and_counts_no_time_that_was_not(
    stage: Scene, hours: int
) -> None:
    stage.operator.end()
    stage.operator.program = (str(SKEWED),)
    stage.operator.environment["SKEW_SECONDS"] = str(hours * 3600)
    stage.operator.start()
    deadlines = {"preRunningDeadlineSeconds": 600, "activeDeadlineSeconds": 3600, "progressDeadlineSeconds": 900}
    begun = datetime.now(UTC).replace(microsecond=0)
    names = [f"clock-{number}-resumes" for number in range(3)]
    stage.space.apply(*(chaos_job(name, runPolicy=deadlines) for name in names))

    phases = stage.end_of(*names)
    statuses = [stage.space.status(name) for name in names]
    stage.operator.end()

    assert phases == ["Succeeded"] * 3
    assert stage.history.violations() == []
    assert [out_of(status, begun, datetime.now(UTC)) for status in statuses] == [[]] * 3


def out_of(status: dict[str, Any], begun: datetime, ended: datetime) -> list[str]:
    """What in a status is from before or after the test, ends before it begins, or took longer than the test."""
    margin = timedelta(seconds=5)
    times = sorted(_times(status))
    found = [f"{name} is {time}" for name, time in times if not begun - margin <= _parse(time) <= ended + margin]
    spans = [(each.get("startTime"), each.get("endTime")) for each in status["attempts"]]
    spans.append((status["startTime"], status["completionTime"]))
    found += [f"{start} to {end}" for start, end in spans if start and end and start > end]
    found += [f"{one} to {two}" for (_, one), (_, two) in pairwise(spans) if one and two and one > two]
    longest = (ended - begun + margin).total_seconds()
    usage = status.get("usage") or {}
    seconds = {name: value for name, value in usage.items() if name.endswith("Seconds") and isinstance(value, int)}
    return found + [f"{name} is {value}" for name, value in seconds.items() if not 0 <= value <= longest]


def _times(value: Any, name: str = "status") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in _times(inner, f"{name}.{key}")]
    if isinstance(value, list):
        return [each for inner in value for each in _times(inner, name)]
    is_time = isinstance(value, str) and name.endswith(("Time", ".until", ".since", ".time"))
    return [(name, value)] if is_time else []


def _parse(time: str) -> datetime:
    return datetime.fromisoformat(time.replace("Z", "+00:00"))
