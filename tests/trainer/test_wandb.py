"""Runs in W&B's offline mode: `make test-wandb`, since its client is not in the environment of the others."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.test_stop_and_resume import after_steps, at_step, die, start, wait_for_step
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_api.status import TrackedRun
from finetune_trainer.tracking import feed, tracking

pytestmark = pytest.mark.wandb

ALL = list(range(1, 25))
_HEADER = 7
_BLOCK = 32768


@pytest.fixture
def tracked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A run of 24 steps with a log of each, a checkpoint of each sixth, and W&B."""
    monkeypatch.setattr(feed, "INTERVAL_SECONDS", 0.05)
    for outcome in tracking.LAST_SECONDS:
        monkeypatch.setitem(tracking.LAST_SECONDS, outcome, 120)
    settings["training"]["arguments"] = {"logging_steps": 1}
    settings["checkpoints"] = {"strategy": "steps", "steps": 6}
    settings["evaluation"] = {"strategy": "steps", "steps": 6, "metrics": ["accuracy"]}
    settings["tracking"] = {"wandb": {"project": "reviews", "entity": "team-a"}}
    return settings


def run_file(out: Path) -> Path:
    """Return the one file of a run; there is no other."""
    (file,) = [path for path in (out / "wandb").rglob("*") if path.is_file()]
    return file


def records(file: Path) -> Iterator[Any]:
    """Read what W&B's client wrote: records of protobuf in LevelDB's log format, in blocks, after a header of its own."""
    from wandb.proto.wandb_internal_pb2 import Record  # the others' environment, which collects this file, has none

    data, at, whole = file.read_bytes(), _HEADER, b""
    assert data[:4] == b":W&B"
    while at + _HEADER <= len(data):
        if (left := _BLOCK - at % _BLOCK) < _HEADER:
            at += left
            continue
        _, length, part = struct.unpack_from("<IHB", data, at)
        whole += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if part in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def rows(file: Path) -> list[dict[str, Any]]:
    return [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in records(file)
        if record.HasField("history")
    ]


def steps(file: Path, name: str) -> list[int]:
    """Steps of a metric, in their order in the file."""
    return [row["train/global_step"] for row in rows(file) if name in row]


def exit_code(file: Path) -> int:
    (code,) = [record.exit.exit_code for record in records(file) if record.HasField("exit")]
    return code


def test_settings_points_and_outcome_are_in_an_offline_run_that_wandb_sync_finds(
    tracked: Settings, train: Train, tmp_path: Path
) -> None:
    ended = train(tracked)

    assert (ended.code, ended.final.tracking) == (0, [TrackedRun(tracker="wandb", url=f"file://{tmp_path}/out/wandb")])
    file = run_file(tmp_path / "out")
    (run,) = [record.run for record in records(file) if record.HasField("run")]
    assert (run.project, run.entity, run.display_name) == ("reviews", "team-a", "out")
    config = {each.key: each.value_json for each in run.config.update}
    assert (config["training.learningRate"], config["finetune.seed"]) == ('"0.005"', '"42"')
    assert (steps(file, "train/loss"), steps(file, "eval/accuracy"), exit_code(file)) == (ALL, [6, 12, 18, 24], 0)
    axes = {record.metric.glob_name: record.metric.step_metric for record in records(file) if record.HasField("metric")}
    assert axes["*"] == "train/global_step"
    sync = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(file.parent)]
    found = subprocess.run(sync, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "Would sync 1 run(s)" in found.stdout + found.stderr


def test_a_run_that_dies_and_one_that_is_stopped_go_on_in_the_same_run_with_no_step_twice(
    tracked: Settings, train: Train, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, {10: die})  # steps 7 to 10 are lost
        assert train(tracked).code == ExitCode.INTERNAL
    died = run_file(tmp_path / "out")
    assert (max(steps(died, "train/loss")) >= 9, exit_code(died)) == (True, 1)
    with pytest.MonkeyPatch.context() as patch:
        at_step(15)(patch)
        assert train(tracked).code == ExitCode.STOPPED
    stopped = run_file(tmp_path / "out")
    assert (stopped, exit_code(stopped)) == (died, 0)

    assert train(tracked).code == 0

    file = run_file(tmp_path / "out")
    assert (file, steps(file, "train/loss"), steps(file, "eval/loss")) == (died, ALL, [6, 12, 18, 24])
    times = [row["_timestamp"] for row in rows(file)]
    assert times == sorted(times)


def test_a_program_that_is_killed_leaves_no_run_and_the_one_that_goes_on_writes_all_of_it(
    tracked: Settings, train: Train, tmp_path: Path
) -> None:
    tracked["training"]["epochs"] = 20
    killed = start(tracked, tmp_path)
    wait_for_step(12, tmp_path, killed)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "out" / "wandb").exists()

    ended = train(tracked)

    file = run_file(tmp_path / "out")
    assert (ended.code, steps(file, "train/loss"), exit_code(file)) == (0, list(range(1, 241)), 0)


def test_variables_of_the_environment_do_not_send_it_anywhere(
    tracked: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "another")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")

    ended = train(tracked)

    assert ended.final.tracking[0].message is None
    (run,) = [record.run for record in records(run_file(tmp_path / "out")) if record.HasField("run")]
    assert (run.project, run.telemetry.feature.offline) == ("reviews", True)
