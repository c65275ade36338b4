"""Runs at trackio: points arrive once, whatever the run and the server go through.

With TRACKIO naming trackio's own program (make test-trackio) its server takes the place of the one in this process.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trackio_server import ENV_PROGRAM, TOKEN, FakeTrackio, OwnTrackio
from tests.trainer.test_stop_and_resume import after_steps, at_step, die, start, wait_for_step
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_api.status import TrackedRun
from finetune_trainer.tracking import feed, trackio

OWN = os.environ.get(ENV_PROGRAM, "")
needs_own = pytest.mark.skipif(not OWN, reason="asks what trackio's own program makes of it: make test-trackio")
ALL = list(range(1, 25))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeTrackio | OwnTrackio]:
    with OwnTrackio(OWN, tmp_path / "trackio") if OWN else FakeTrackio() as server:
        yield server


@pytest.fixture
def tracked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A run of 24 steps with a log of each, a checkpoint of each sixth, and trackio."""
    monkeypatch.setattr(feed, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(feed, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setenv("TRACKIO_WRITE_TOKEN", TOKEN)
    settings["training"]["arguments"] = {"logging_steps": 1}
    settings["checkpoints"] = {"strategy": "steps", "steps": 6}
    settings["evaluation"] = {"strategy": "steps", "steps": 6, "metrics": ["accuracy"]}
    settings["tracking"] = {"trackio": {"project": "reviews"}}
    return settings


def die_and_stop_and_end(tracked: Settings, train: Train) -> list[TrackedRun]:
    """Train in three attempts. Returns what the last one says of its trackers."""
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, {10: die})  # steps 7 to 10 are lost, and their logs have arrived
        assert train(tracked).code == ExitCode.INTERNAL
    with pytest.MonkeyPatch.context() as patch:
        at_step(15)(patch)
        assert train(tracked).code == ExitCode.STOPPED
    ended = train(tracked)
    assert ended.code == 0
    return ended.final.tracking


@pytest.mark.slow
def test_a_run_that_dies_and_one_that_is_stopped_go_on_in_the_same_run_with_no_step_twice(
    tracked: Settings, train: Train, server: FakeTrackio | OwnTrackio
) -> None:
    tracked["tracking"]["trackio"]["uri"] = server.uri

    said = die_and_stop_and_end(tracked, train)

    assert said == [TrackedRun(tracker="trackio", url=f"{server.uri}/?project=reviews")]
    run = server.run("reviews")
    assert (run["name"], run["config"]["training.learningRate"], run["config"]["finetune.seed"]) == (
        "out",
        "0.005",
        "42",
    )
    steps = [
        [point["step"] for point in run["points"] if metric in point] for metric in ("train/loss", "eval/accuracy")
    ]
    assert steps == [ALL, [6, 12, 18, 24]]


@needs_own
def test_a_server_that_is_down_gets_all_points_when_it_is_back(
    tracked: Settings, train: Train, server: FakeTrackio | OwnTrackio, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked["tracking"]["trackio"]["uri"] = server.uri
    after_steps(monkeypatch, {4: server.stop, 20: server.start})

    ended = train(tracked)

    assert (ended.code, ended.final.tracking[0].message) == (0, None)
    assert server.steps("train/loss", "reviews") == ALL


@needs_own
def test_a_program_that_is_killed_while_it_sends_goes_on_with_no_step_twice(
    tracked: Settings, train: Train, server: FakeTrackio | OwnTrackio, tmp_path: Path
) -> None:
    tracked["tracking"]["trackio"]["uri"] = server.uri
    tracked["training"]["epochs"] = 20
    killed = start(tracked, tmp_path)
    wait_for_step(12, tmp_path, killed)
    killed.kill()
    killed.communicate()

    assert train(tracked).code == 0

    assert server.steps("train/loss", "reviews") == list(range(1, 241))


@needs_own
def test_a_dashboard_takes_in_what_lies_in_the_output_once_however_often(
    tracked: Settings, train: Train, tmp_path: Path
) -> None:
    said = die_and_stop_and_end(tracked, train)

    assert said == [TrackedRun(tracker="trackio", url=f"file://{tmp_path}/out/trackio")]
    dashboard = OwnTrackio(OWN, tmp_path / "out" / "trackio")
    for _ in range(2):  # the same command again trains nothing, and brings its records again
        with dashboard:
            inbox = tmp_path / "out" / "trackio" / "inbox"
            while any(inbox.rglob("*.jsonl")):
                time.sleep(0.1)
            assert dashboard.steps("train/loss", "reviews") == ALL
            assert dashboard.steps("eval/accuracy", "reviews") == [6, 12, 18, 24]
        assert train(tracked).code == 0


@needs_own
def test_a_space_takes_a_token_of_the_hub(
    tracked: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = OwnTrackio(OWN, tmp_path / "space", {"SYSTEM": "spaces", "HF_TOKEN": "hf_of_the_space"})
    monkeypatch.delenv("TRACKIO_WRITE_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_space")
    monkeypatch.setattr(trackio, "SPACE", re.compile(".*"))
    tracked["tracking"]["trackio"]["uri"] = space.uri
    with space:
        ended = train(tracked)

        assert (ended.code, ended.final.tracking[0].message) == (0, None)
        assert space.steps("train/loss", "reviews") == ALL
