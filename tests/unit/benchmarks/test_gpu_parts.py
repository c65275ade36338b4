"""One part of the benchmark on a GPU never takes another along, and none outlives its time."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command's module, imported as a script finds its neighbours."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from benchmarks import gpu

    return gpu


def run(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, **parts: Any) -> dict[str, Any]:
    monkeypatch.setattr(gpu, "_parts", lambda card: parts)
    over = gpu._run_parts(
        dict.fromkeys(parts, 10.0), lambda name, seconds: gpu._run_part(None, folder, None, name, seconds)
    )
    return {name: part for one in over for name, part in one.items()}


def test_a_part_that_fails_is_reported_with_what_it_found_and_the_others_go_on(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gpu_children import OutOfTime

    def breaks(*arguments: Any) -> Iterator[dict[str, Any]]:
        yield {"found": 1}
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def late(*arguments: Any) -> Iterator[dict[str, Any]]:
        yield {"found": 2}
        raise OutOfTime("late was not over in time")

    def wrong(*arguments: Any) -> Iterator[dict[str, Any]]:
        yield {"as meant": False}

    def works(*arguments: Any) -> Iterator[dict[str, Any]]:
        yield {"as meant": True}

    found = run(gpu, monkeypatch, tmp_path, breaks=breaks, late=late, wrong=wrong, works=works)

    assert {name: (part["status"], part["rows"]) for name, part in found.items()} == {
        "breaks": ("failed", [{"found": 1}]),
        "late": ("stopped", [{"found": 2}]),
        "wrong": ("failed", [{"as meant": False}]),
        "works": ("done", [{"as meant": True}]),
    }
    assert found["breaks"]["error"] == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert found["late"]["error"] == "late was not over in time: 20 s were not enough"


def test_all_parts_fit_into_eight_minutes_and_some_take_their_share(gpu: ModuleType) -> None:
    assert sum(gpu.BUDGETS.values()) == 480
    assert gpu._part_of_all(list(gpu.BUDGETS)) == 1
    assert gpu._part_of_all(["bert", "resume"]) == (gpu.BUDGETS["bert"] + gpu.BUDGETS["resume"]) / 480


@pytest.mark.thorough
def test_a_child_gives_its_result_or_reports_what_it_died_of_and_ends_in_time(gpu: ModuleType, tmp_path: Path) -> None:
    from gpu_children import Children, Failed, OutOfTime

    children = Children(tmp_path, "spawn")
    soon = time.monotonic() + 60

    assert children.run("works", soon, json.loads, '{"speed": 7}') == {"speed": 7}
    with pytest.raises(Failed, match=r"breaks ended with 1:(?s:.)*JSONDecodeError"):
        children.run("breaks", soon, json.loads, "{")
    sleeping = children.start("sleeps", time.sleep, 600)
    with pytest.raises(OutOfTime, match="sleeps was not over in time, and was killed"):
        sleeping.value(time.monotonic() + 0.5)
    assert not sleeping.running()


def test_tables_show_a_run_in_which_hardly_anything_worked(gpu: ModuleType) -> None:
    from gpu_tables import report

    machine = {"card": None, "cores": 2, "machine": "x86_64", "versions": {"python": sys.version.split()[0]}}
    parts = {
        "bert": {"status": "failed", "seconds": 1.0, "error": "bert-32: ours ended with 13:\nTraceback", "rows": []},
        "ladder": {
            "status": "failed", "seconds": 2.0, "error": "not all went as it was meant",
            "rows": [{"case": "down", "memory": "injected", "exit": 1, "as meant": False, "adjustments": [], "failure": "Odd"}],
        },
    }  # fmt: skip

    text = report({"machine": machine, "seconds": 3.0, "parts": parts})

    assert "NO GPU" in text
    assert "down: Odd" in text
    assert "bert: bert-32: ours ended with 13:\nTraceback" in text
