"""The list of jobs on terminals of several widths."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from finetune.snapshot import Snapshot, read_snapshot
from finetune_api.status import TrackedRun
from finetune_cli.display.jobs import jobs_table

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def failed(name: str) -> Snapshot:
    return read_snapshot(
        {
            "metadata": {"name": name, "namespace": "team-a", "creationTimestamp": "2026-11-28T10:00:00Z"},
            "spec": {},
            "status": {
                "phase": "Failed",
                "progress": {"step": 800, "percent": 67},
                "failure": {"reason": "ColumnNotFound", "message": "no column 'tag'; did you mean 'tags'?"},
                "usage": {"gpuSeconds": {"total": 4320}, "until": "2026-11-28T10:00:00Z"},
                "curves": {"training": {"steps": "1 2 3", "series": [{"name": "loss", "values": "3 2 1"}]}},
                "bestCheckpoint": {"step": 1, "uri": "s3://x", "metric": "eval_accuracy", "value": "0.58101"},
            },
        }
    )


def drawn(width: int) -> list[str]:
    screen = Console(width=width)
    with screen.capture() as captured:
        screen.print(jobs_table([failed("yelp-stars")], width=width, now=NOW))
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (140, ["NAME", "PHASE", "PROGRESS", "LOSS", "BEST", "WHY / WHAT NEXT", "GPU-H", "AGE"]),
        (80, ["NAME", "PHASE", "PROGRESS", "WHY / WHAT NEXT", "GPU-H", "AGE"]),
        (60, ["NAME", "PHASE", "WHY / WHAT NEXT", "GPU-H", "AGE"]),
        (40, ["NAME", "PHASE", "WHY / WHAT NEXT"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_none_that_is_cut(width: int, heads: list[str]) -> None:
    lines = drawn(width)

    assert [head.strip() for head in lines[0].split("  ") if head.strip()] == heads
    assert lines[1].split()[:3] == ["yelp-stars", "✕", "Failed"]
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (200, ["NAME", "PHASE", "PROGRESS", "LOSS", "BEST", "WHY / WHAT NEXT", "GPU-H", "AGE"]),
        (106, ["NAME", "PHASE", "PROGRESS", "LOSS", "WHY / WHAT NEXT", "GPU-H", "AGE"]),
    ],
)
def test_a_long_name_takes_no_column_from_the_others(width: int, heads: list[str]) -> None:
    long = "a-name-of-sixty-three-characters-" + "x" * 30
    screen = Console(width=width)
    with screen.capture() as captured:
        screen.print(jobs_table([failed(long), failed("short")], width=width, now=NOW))

    lines = captured.get().splitlines()
    assert [head.strip() for head in lines[0].split("  ") if head.strip()] == heads
    assert max(map(len, lines)) <= width
    if width == 200:
        assert long in lines[1]
    else:
        assert "".join(line[:32].strip() for line in lines[1:]).startswith(long)


def test_wide_has_every_column_and_where_each_is_tracked_on_any_terminal() -> None:
    url = "https://mlflow.corp.example/#/experiments/1/runs/0f9be1d4"
    tracked = failed("yelp-stars")
    tracking = [TrackedRun(tracker="mlflow", url=url), TrackedRun(tracker="trackio", message="it is down")]
    tracked = replace(tracked, status=tracked.status.model_copy(update={"tracking": tracking}))
    screen = Console(width=1000)
    with screen.capture() as captured:
        screen.print(jobs_table([tracked, failed("other")], width=60, whole=True, now=NOW))

    head, first, second = captured.get().splitlines()
    heads = ["NAME", "PHASE", "PROGRESS", "LOSS", "BEST", "WHY / WHAT NEXT", "GPU-H", "AGE", "TRACKED AT"]
    assert [each.strip() for each in head.split("  ") if each.strip()] == heads
    assert (first.split()[-1], second.split()[-1]) == (url, "–")


@pytest.mark.parametrize("width", [140, 40])
def test_why_is_told_whole_on_any_terminal(width: int) -> None:
    why = " ".join("".join(line.split("Failed")[-1]) for line in drawn(width)[1:])

    for word in ("ColumnNotFound:", "no", "column", "'tag';", "did", "you", "mean", "'tags'?"):
        assert word in why.replace("\n", " ")
