"""What becomes of a run for W&B when its client fails or hangs: by programs that take its place."""

import sys
from pathlib import Path

import pytest

from finetune_api.tracking import Wandb
from finetune_trainer.progress.history import Measured
from finetune_trainer.storage.local_output import LocalOutput
from finetune_trainer.tracking import wandb
from finetune_trainer.tracking.tracker import Description, TrackerFailure
from finetune_trainer.tracking.wandb import WandbTracker

_ECHO = """
import os, pathlib, sys
folder = pathlib.Path("wandb/offline-run-1-abc")
folder.mkdir(parents=True)
told = {name: text for name, text in sorted(os.environ.items()) if name in ("WANDB_MODE", "WANDB_ERROR_REPORTING")}
(folder / "run-abc.wandb").write_text(f"{told} {sys.stdin.read()}")
"""
_POINT = Measured("log", 3, 0.5, {"loss": 0.25}, 100.0)


@pytest.fixture
def tracker(tmp_path: Path) -> WandbTracker:
    output = LocalOutput(f"file://{tmp_path}", tmp_path)
    return WandbTracker(Wandb(), output, Description("abc", "yelp", {"seed": "1"}, {"finetune.output": "o"}))


def play(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(wandb, "PROGRAM", [sys.executable, "-c", program])


def test_the_client_is_told_the_run_and_its_points_and_nothing_of_the_environment(
    tracker: WandbTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, _ECHO)
    monkeypatch.setenv("WANDB_MODE", "online")
    tracker.open()
    tracker.send([_POINT])

    tracker.finish("failed")

    written = (tmp_path / "wandb" / "offline-run-abc" / "run-abc.wandb").read_text()
    assert written.startswith("{'WANDB_ERROR_REPORTING': 'false'} ")
    assert '"config": {"seed": "1", "finetune.output": "o"}' in written
    row = '{"train/epoch": 0.5, "train/loss": 0.25, "train/global_step": 3, "_timestamp": 100.0}'
    assert f'"step": "train/global_step", "rows": [{row}], "exit_code": 1' in written


def test_the_file_of_an_earlier_attempt_gives_way_to_the_whole_of_the_new_one(
    tracker: WandbTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, _ECHO)
    tracker.open()
    tracker.send([_POINT, _POINT])
    tracker.finish("stopped")

    tracker.open()
    tracker.send([_POINT])
    tracker.finish("finished")

    (file,) = (tmp_path / "wandb").rglob("*.wandb")
    assert (file.read_text().count("train/loss"), '"exit_code": 0}' in file.read_text()) == (1, True)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('first\\nno space left')", "W&B's client cannot write the run: no space left"),
        ("import sys; sys.exit(3)", "W&B's client cannot write the run: it ended with 3"),
        ("", "W&B's client cannot write the run: it ended with 0"),
        ("import time; time.sleep(600)", "W&B's client has not written the run after 0 s"),
    ],
    ids=["says why", "says nothing", "writes nothing", "hangs"],
)
def test_a_client_that_writes_nothing_is_a_failure_of_the_tracker_and_leaves_the_file_that_is_there(
    tracker: WandbTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    play(monkeypatch, _ECHO)
    tracker.open()
    tracker.finish("stopped")
    play(monkeypatch, program)
    if "sleep" in program:
        monkeypatch.setattr(wandb, "_LONGEST_SECONDS", 0.2)

    with pytest.raises(TrackerFailure) as failure:
        tracker.finish("finished")

    assert str(failure.value) == message
    assert len(list((tmp_path / "wandb").rglob("*.wandb"))) == 1
