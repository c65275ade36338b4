"""A run's progress in a folder, with real checkpoints, for tests."""

from pathlib import Path
from typing import Any

from finetune_api.run import RunConfig
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.snapshot import Snapshot, Write
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.local_output import LocalOutput

RUN: dict[str, Any] = {"configDigest": "sha256:1", "jobUid": None}


def configure(**evaluation: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "file:///model"},
            "dataset": {"source": "file:///data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
            "evaluation": {"metrics": ["f1"], "bestMetric": "f1", **evaluation},
            "checkpoints": {"keep": 1},
            "output": {"uri": "file:///out"},
        }
    )


class Run:
    """The progress of a run of 100 steps, begun or gone on with."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.state = RunState()
        output = LocalOutput(f"file://{folder}", folder)
        self.store = CheckpointStore(output, RUN, config.checkpoints.keep)
        self.store.find()
        self.history = History(folder / "history.jsonl")
        stop = StopSignal(before_exit=lambda: None)
        self.progress = RunProgress.of(
            config,
            BatchPlan.from_settings(config.training.batch_size, {}),
            output,
            self.store,
            self.history,
            self.state,
            stop,
        )
        self.recorder, self.checkpointing = self.progress.recorder, self.progress.checkpointing
        self.progress.resume()
        self.store.begin()
        self.history.begin()
        self.recorder.begin(self.store.newest.step if self.store.newest else 0, 100, 0.0, 800)

    @property
    def reported(self) -> list[int]:
        return [checkpoint.step for checkpoint in self.state.current.checkpoints]

    def evaluate(self, step: int, f1: float) -> None:
        self.recorder.evaluated(step, float(step), {"eval_loss": 1.0, "eval_f1": f1})


def write(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def snapshot(step: int, write: Write = write) -> Snapshot:
    return Snapshot(step, float(step), write, copy=lambda: write)
