"""The trackers of a run begin with it, and never cost it."""

from pathlib import Path

import pytest

from finetune_api.run import RunConfig
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState
from finetune_trainer.storage.claim import open_output
from finetune_trainer.storage.layout import TRACKING
from finetune_trainer.tracking import tracking
from finetune_trainer.tracking.tracking import Tracking


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


def begin(config: RunConfig, marker: bytes | None = None) -> dict[str, str | None]:
    """Begin and end the trackers of a run. Returns what its status says of each."""
    output, state = open_output(config.output.uri, config.identity(), {}), RunState()
    if marker is not None:
        output.create_marker(TRACKING, marker)
    with Tracking(config, output, History(output.path / "history.jsonl"), state) as trackers:
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


def test_a_tracker_whose_library_cannot_be_imported_costs_no_run_its_training(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("of another version of protobuf")

    monkeypatch.setattr(tracking, "make_trackers", broken)

    message = "this attempt sends no points: ImportError: of another version of protobuf"
    assert begin(config) == {"mlflow": message, "tensorboard": message}
