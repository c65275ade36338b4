"""Saves checkpoints beside the training, keeps the newest ones and the best one, and reports them."""

import logging
import threading
import time
from functools import partial
from pathlib import Path

from finetune_api.status import BestCheckpoint, Checkpoint
from finetune_trainer.checkpoints.background import BackgroundSaver
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import Snapshot, Write
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.best import best_of
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState, format_epoch, format_number, metric_values
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.output import Output

logger = logging.getLogger(__name__)


class Checkpointing:
    """The checkpoints of one run. Of several processes each has one, but only that of the main one writes."""

    def __init__(
        self,
        output: Output,
        store: CheckpointStore,
        history: History,
        state: RunState,
        best_metric: str | None = None,
        processes: Processes | None = None,
    ) -> None:
        """`best_metric` is the name in the history, such as eval_f1, of the metric that chooses the best checkpoint."""
        self._output = output
        self._store = store
        self._history = history
        self._state = state
        self._best_metric = best_metric
        self._processes = processes or Processes()
        self._saver = BackgroundSaver(output.flush_requested)
        self._reporting = threading.Lock()
        self._saved_step: int | None = None
        """Step of the newest checkpoint, also while it is being written."""

    @property
    def scratch(self) -> Path:
        """An empty folder beside the checkpoints, removed when the run ends."""
        return self._store.scratch

    def rewind(self) -> None:
        """Go on from the store's newest checkpoint, or from the pretrained model where it has none."""
        self._saved_step = self._store.newest.step if self._store.newest else None
        self.report()

    def is_saved(self, step: int) -> bool:
        """Return whether `step` has the newest checkpoint, or is being saved."""
        return step == self._saved_step

    def save(self, snapshot: Snapshot) -> None:
        """Save a checkpoint, unless its step is saved, and retire older ones.

        Returns once the state is copied; a thread writes it. One save at a time: this waits for the one before.

        Raises:
            TrainerError: The save before this one failed, or this one where no copy was possible.
        """
        if self.is_saved(snapshot.step):
            return
        self._state.stage("Saving", f"saving the checkpoint of step {snapshot.step}")
        # An upload may take longer than the exchange of gradients, where the others would wait, allows.
        with self._processes.barrier():
            self._saver.wait()
        with self._processes.barrier():
            if self._processes.is_main:
                self._start(snapshot)
        self._saved_step = snapshot.step
        self._state.stage("Training")

    def check(self) -> None:
        """Raise what the last save failed with, if it is over; do not wait for it.

        Raises:
            TrainerError: The save failed.
        """
        self._saver.check()

    def settle(self) -> None:
        """Return when no save is running. `wait` raises what it failed with."""
        self._state.heartbeat.stage("Saving", "waiting for the newest checkpoint to be written")
        self._saver.settle()

    def wait(self) -> None:
        """Wait for the save that is running. Afterwards all processes know of all checkpoints.

        Raises:
            TrainerError: The save failed.
        """
        self._state.stage("Saving", "waiting for the newest checkpoint to be written")
        with self._processes.barrier():
            self._saver.wait()
        self._store.adopt(self._processes.broadcast(self._store.saved, list[SavedCheckpoint]))

    def rotate(self) -> None:
        """Retire all checkpoints but the newest ones and the best one, by the evaluations that are known now."""
        self._store.rotate(self.best())
        self.report()

    def best(self) -> SavedCheckpoint | None:
        """Return the checkpoint with the best value of evaluation.bestMetric; of equals the earliest."""
        if self._best_metric is None:
            return None
        saved = {checkpoint.step: checkpoint for checkpoint in self._store.saved}
        evaluations = [line for line in self._history.evaluations() if line.step in saved]
        best = best_of(evaluations, self._best_metric)
        return saved[best.step] if best else None

    def fetch_best(self) -> SavedCheckpoint | None:
        """Return the best checkpoint whose files can still be read; they are on this machine then."""
        while (best := self.best()) and not self._store.fetch(best):
            pass
        return best

    def report(self) -> None:
        """Report which checkpoints there are. The threads that train and save both do."""
        with self._reporting:
            self._state.set_checkpoints([self._reported(saved) for saved in self._store.saved], self._reported_best())

    def _start(self, snapshot: Snapshot) -> None:
        copy = snapshot.copy()
        self._saver.start(partial(self._publish, snapshot, copy or snapshot.write))
        if copy is None:
            self._saver.wait()

    def _publish(self, snapshot: Snapshot, write: Write) -> None:
        """In the thread that saves."""
        start = time.monotonic()
        written = self._store.scratch / f"step-{snapshot.step}"
        with output_failures(self._store.folder):
            self._store.sweep()
            written.mkdir()
            write(written)
        checkpoint = self._store.publish(written, snapshot.step, snapshot.epoch)
        self.rotate()
        where = self._output.shown(checkpoint.path)
        logger.info("step %d: saved %s in %.1f s", snapshot.step, where, time.monotonic() - start)

    def _reported(self, saved: SavedCheckpoint) -> Checkpoint:
        return Checkpoint(
            step=saved.step,
            epoch=format_epoch(saved.epoch),
            uri=self._output.uri_of(saved.path),
            size_bytes=saved.size_bytes,
            digest=saved.digest,
            metrics=metric_values(self._history.evaluation_at(saved.step)),
            time=saved.time,
        )

    def _reported_best(self) -> BestCheckpoint | None:
        best = self.best()
        if best is None or self._best_metric is None:
            return None
        return BestCheckpoint(
            step=best.step,
            uri=self._output.uri_of(best.path),
            metric=self._best_metric,
            value=format_number(self._history.evaluation_at(best.step)[self._best_metric]),
        )
