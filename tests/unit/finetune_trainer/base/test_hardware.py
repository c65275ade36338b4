"""What machine and container have."""

import os
from pathlib import Path

import pytest

from finetune_trainer.base.hardware import available_cores, version_of


@pytest.mark.parametrize(
    ("limit", "cores"),
    [(None, 8), ("max 100000\n", 8), ("250000 100000\n", 2), ("50000 100000\n", 1), ("6400000 100000\n", 8)],
    ids=["not told", "no limit", "two cores and a half", "half a core", "more than the machine has"],
)
def test_the_cores_are_those_of_machine_or_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    if limit:
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup/cpu.max").write_text(limit)

    assert available_cores(tmp_path) == cores


def test_a_program_that_runs_from_its_source_folder_has_no_version() -> None:
    assert version_of("no-such-distribution") == "not installed"
    assert version_of("pytest") == pytest.__version__
