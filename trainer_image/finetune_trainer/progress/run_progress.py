"""The progress of a run: its three parts, put together."""

from dataclasses import dataclass

from finetune_api.run import RunConfig
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.adjustments import Adjustments
from finetune_trainer.progress.best import best_metric
from finetune_trainer.progress.checkpointing import Checkpointing
from finetune_trainer.progress.history import History
from finetune_trainer.progress.recorder import Recorder
from finetune_trainer.progress.state import RunState
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.output import Output


@dataclass(frozen=True)
class RunProgress:
    """What a run has come to. Of several processes each has one, but only that of the main one writes to the output."""

    state: RunState
    history: History
    stop: StopSignal
    store: CheckpointStore
    checkpointing: Checkpointing
    adjustments: Adjustments
    recorder: Recorder
    """What engines report to."""

    @classmethod
    def of(
        cls,
        config: RunConfig,
        asked: BatchPlan,
        output: Output,
        store: CheckpointStore,
        history: History,
        state: RunState,
        stop: StopSignal,
        processes: Processes | None = None,
    ) -> "RunProgress":
        """Put the parts together for the run of `config` in `output`, whose settings ask for the batches `asked`."""
        processes = processes or Processes()
        checkpointing = Checkpointing(output, store, history, state, best_metric(config.evaluation), processes)
        adjustments = Adjustments(config, asked, history, state)
        recorder = Recorder(
            history, state, stop, checkpointing, adjustments, config.training.learning_rate, main=processes.is_main
        )
        return cls(state, history, stop, store, checkpointing, adjustments, recorder)

    def resume(self) -> None:
        """Go on from the newest checkpoint, or start over."""
        self.state.set_resumed_from(self.store.newest.step if self.store.newest else 0)
        self.rewind()

    def rewind(self) -> None:
        """Take back what came after the newest checkpoint."""
        step = self.store.newest.step if self.store.newest else 0
        self.history.resume(step)
        self.state.set_curves(self.history.curves)
        self.adjustments.update()
        self.recorder.rewind(step)
        self.checkpointing.rewind()

    def is_over(self, step: int, total_steps: int) -> bool:
        """Return whether no step comes after `step`, of the `total_steps` that the engine counts."""
        early = self.adjustments.early_stop
        return step >= (early.step if early else total_steps)

    def is_done(self, last: SavedCheckpoint, total_steps: int, *, evaluates: bool) -> bool:
        """Return whether no step comes after `last`, and it is evaluated, where the run evaluates."""
        return self.is_over(last.step, total_steps) and (not evaluates or bool(self.history.evaluation_at(last.step)))
