"""The benchmark for a GPU runs whole without one, in tiny shapes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_without_a_gpu_all_parts_run_in_tiny_shapes_and_go_as_they_are_meant(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/gpu.py", "--minutes", "30", "--json", str(figures), "--logs", str(tmp_path)]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=1900)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    parts = json.loads(figures.read_text())["parts"]
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(
        ("bert", "lora-1b", "lora-8b", "stall", "ladder", "resume"), "done"
    )
    trainings = [row for name in ("bert", "lora-1b", "lora-8b") for row in parts[name]["rows"]]
    assert len(trainings) == 8
    assert all(row["tokens_per_second"] > 0 and row["peak"] >= 0 for row in trainings)
    assert all(row["estimate"] > 0 for row in trainings if row["by"] == "ours")
    assert all(row["ours/plain"] > 0 for row in trainings if row["by"] != "ours")
    # A wait for the last save to be written, on a slow disk, is counted as one.
    assert parts["stall"]["rows"][0]["saves"] in (3, 4)
    assert [row["exit"] for row in parts["ladder"]["rows"]] == [0, 13]
    assert [(row["engine"], row["signal"], row["to the bit"]) for row in parts["resume"]["rows"]] == [
        ("trainer", "SIGTERM", True), ("trainer", "SIGKILL", True), ("pytorch", "SIGTERM", True), ("pytorch", "SIGKILL", True),
    ]  # fmt: skip
    assert "NO GPU" in ended.stdout
