"""Runs beside each other on a narrow terminal."""

from rich.console import Console

from finetune.comparison import compare
from finetune.snapshot import Snapshot, read_snapshot
from finetune_cli.display.comparison import comparison_view


def run(name: str, rate: float) -> Snapshot:
    metadata = {"name": name, "namespace": "team-a", "creationTimestamp": "2026-11-28T10:00:00Z"}
    return read_snapshot({"metadata": metadata, "spec": {"training": {"learningRate": rate}}, "status": {}})


def test_a_narrow_terminal_cuts_no_setting() -> None:
    screen = Console(width=26)
    with screen.capture() as captured:
        screen.print(comparison_view(compare([run("a", 1e-5), run("b", 5e-5)]), 26))

    drawn = captured.get()
    assert "…" not in drawn
    assert "training.learningRate" in "".join(line.split(" 1e-05")[0].strip() for line in drawn.splitlines())
