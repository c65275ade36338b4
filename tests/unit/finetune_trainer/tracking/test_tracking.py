"""The trackers of a run begin with it, and never cost it."""

from pathlib import Path
from typing import Any

import pytest

from finetune_api.run import JobReference, RunConfig
from finetune_api.tracking import Tracking as Settings
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.layout import TRACKING
from finetune_trainer.tracking import tracking
from finetune_trainer.tracking.mlflow import MlflowTracker
from finetune_trainer.tracking.tensorboard import TensorBoardTracker
from finetune_trainer.tracking.tracking import LAST_SECONDS, Tracking
from finetune_trainer.tracking.trackio import TrackioFiles, TrackioServer


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/name"},
            "dataset": {"source": "org/data", "train": {"split": "train"}},
            "output": {"uri": f"file://{tmp_path}/out"},
            "tracking": {"mlflow": {"uri": "https://mlflow.example"}, "tensorboard": {}},
        }
    )


def begin(config: RunConfig, marker: bytes | None = None, points: int = 0) -> dict[str, str | None]:
    """Begin and end the trackers of a run. Returns what its status says of each."""
    output, state = open_output(config.output.uri, config.identity(), {}), RunState()
    if marker is not None:
        output.create_marker(TRACKING, marker)
    history = History(output.path / "history.jsonl")
    for step in range(points):
        history.append("log", step, 0.1, {"loss": 1.0})
    with Tracking(config, output, history, state) as trackers:
        trackers.begin()
    return {run.tracker: run.message for run in state.current.tracking}


@pytest.mark.parametrize(
    "marker", [b"", b"\xff", b"{}", b"[]", b'{"run": 5}', b'{"run": "/../x"}', b'{"run": "x\' or "}']
)
def test_a_file_that_does_not_name_the_run_costs_no_run_its_training(config: RunConfig, marker: bytes) -> None:
    said = begin(config, marker)

    message = (
        "this attempt sends no points: ValueError: tracking.json at the output does not name the run; "
        "delete it to begin another one at the trackers"
    )
    assert said == {"mlflow": message, "tensorboard": message}


@pytest.mark.parametrize(
    ("tracking", "job", "rest"),
    [
        ({"mlflow": {"uri": "http://m"}}, "yelp", {"mlflow": "; finetune track yelp sends them"}),
        ({"trackio": {"uri": "http://t"}}, "yelp", {"trackio": "; finetune track yelp sends them"}),
        ({"trackio": {}, "tensorboard": {}}, "yelp", {"trackio": "", "tensorboard": ""}),
        ({"mlflow": {"uri": "http://m"}}, None, {"mlflow": "; the same command sends them"}),
    ],
)
def test_what_has_not_arrived_names_what_sends_it_later(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, tracking: Any, job: str | None, rest: dict[str, str]
) -> None:
    def closed(self: object) -> None:
        raise OSError("closed")

    for tracker in (MlflowTracker, TrackioServer, TrackioFiles, TensorBoardTracker):
        monkeypatch.setattr(tracker, "open", closed)
    monkeypatch.setitem(LAST_SECONDS, "finished", 0.1)
    reference = JobReference(namespace="team-a", name=job, uid="0f9b") if job else None
    given = config.model_copy(update={"tracking": Settings.model_validate(tracking), "job": reference})

    said = begin(given, points=1)

    why = "1 of 1 points have not arrived: OSError: closed"
    assert said == {name: f"{why}{remedy}" for name, remedy in rest.items()}


def test_a_tracker_whose_library_cannot_be_imported_costs_no_run_its_training(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("of another version of protobuf")

    monkeypatch.setattr(tracking, "make_trackers", broken)

    message = "this attempt sends no points: ImportError: of another version of protobuf"
    assert begin(config) == {"mlflow": message, "tensorboard": message}
