"""The list of jobs on terminals of several widths."""

from datetime import UTC, datetime

import pytest
from rich.console import Console

from finetune.snapshot import Snapshot, read_snapshot
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


@pytest.mark.parametrize("width", [140, 40])
def test_why_is_told_whole_on_any_terminal(width: int) -> None:
    why = " ".join("".join(line.split("Failed")[-1]) for line in drawn(width)[1:])

    for word in ("ColumnNotFound:", "no", "column", "'tag';", "did", "you", "mean", "'tags'?"):
        assert word in why.replace("\n", " ")
