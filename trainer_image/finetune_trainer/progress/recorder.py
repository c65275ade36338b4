"""What an engine tells while it trains: from here it goes to the history, the checkpoints and the reports."""

import logging
import math
import threading
import time
from functools import partial
from itertools import pairwise

from finetune_api.report import ExitCode, Stage
from finetune_api.run import RunConfig
from finetune_api.status import Adjustment, BestCheckpoint, Progress
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.background import BackgroundSaver
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import Snapshot, Write
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.bar import ProgressBar
from finetune_trainer.progress.best import EarlyStop, best_of, early_stop
from finetune_trainer.progress.history import History, Metrics
from finetune_trainer.progress.state import RunState, format_epoch, format_number
from finetune_trainer.settings.batch_plan import Fit, describe, fit_of
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.output import Output

logger = logging.getLogger(__name__)


class Recorder:
    """The one that every engine reports to."""

    def __init__(
        self,
        config: RunConfig,
        output: Output,
        store: CheckpointStore,
        history: History,
        state: RunState,
        stop: StopSignal,
        processes: Processes | None = None,
    ) -> None:
        """Of several processes each has one, but only that of the main one saves and shows anything."""
        self.store = store
        self.stop = stop
        self.history = history
        self._processes = processes or Processes()
        self._config = config
        self._output = output
        self._state = state
        self._best_metric = f"eval_{config.evaluation.best_metric}" if config.evaluation.best_metric else None
        self._last_finite_step = 0
        self._saver = BackgroundSaver(output.hurried)
        self._likely_problems = threading.Lock()
        self._bar: ProgressBar | None = None
        self.current_stage: Stage = "Preparing"
        self.saved_step: int | None = None
        """Step of the newest checkpoint, also while it is being written."""
        self.early_stop: EarlyStop | None = None
        """Set by `evaluated` where the run ends early: no step comes after that one, and it is saved."""

    def stage(self, stage: Stage, message: str | None = None) -> None:
        self.current_stage = stage
        self._state.stage(stage, message)

    def resume(self, checkpoint: SavedCheckpoint | None) -> None:
        """Go on from `checkpoint`, or start anew."""
        self._state.set_resumed_from(checkpoint.step if checkpoint else 0)
        self.rewind(checkpoint)

    def rewind(self, checkpoint: SavedCheckpoint | None) -> None:
        """Take back what came after `checkpoint`."""
        step = checkpoint.step if checkpoint else 0
        self.history.resume(step)
        self._last_finite_step = step
        self.saved_step = checkpoint.step if checkpoint else None
        self._decide_early_stop()
        self._tell_adjustments()
        self._state.set_metrics(self.history.newest())
        self._state.set_evaluations(self.history)
        self._tell_checkpoints()

    @property
    def fit(self) -> Fit:
        """How much is in memory at a time: what the settings ask for, or the newest adjustment."""
        adjusted = self.history.adjustments()
        return Fit.from_numbers(adjusted[-1].metrics) if adjusted else fit_of(self._config)

    def adjust(self, fit: Fit) -> None:
        """From the newest checkpoint on so much is in memory at a time. Remembered with the output, for later attempts."""
        last = self.store.newest
        why = (
            "the GPU's memory is not enough"
            if fit.processes == self.fit.processes
            else "the run has another number of processes"
        )
        logger.warning("%s; going on with %s", why, describe(self.fit, fit))
        self.history.append("adjustment", last.step if last else 0, last.epoch if last else 0, fit.to_numbers())
        self._tell_adjustments()

    def begin(self, step: int, total_steps: int, epoch: float, rows: int) -> None:
        """The first step comes next. `rows` is the number of training rows."""
        self._total_steps, self._rows = total_steps, rows
        self._first_step, self._first_epoch, self._start = step, epoch, time.monotonic()
        self._bar = ProgressBar(total_steps, step) if self._processes.main else None
        self.stage("Training")
        self._tell_progress(step, epoch)

    def nothing_left(self, last: SavedCheckpoint) -> None:
        """The run was trained to its end before; `last` is the checkpoint of its last step."""
        self._tell_done(last.step, last.epoch)

    def end(self) -> None:
        """No step comes any more. Returns when the last checkpoint is written; `check_saved` tells whether it was."""
        self._saver.settle()
        if self._bar:
            self._bar.close()

    def check_saved(self) -> None:
        """Raise what the last save failed with. Afterwards all processes know of all checkpoints."""
        with self._processes.together():
            self._saver.wait()
        self.store.adopt(self._processes.from_main(self.store.saved))

    def rotate(self) -> None:
        """Let all checkpoints go but the newest and the best one, by the evaluations that are known now."""
        self.store.rotate(self.best())
        self._tell_checkpoints()

    def is_over(self, step: int, total_steps: int) -> bool:
        """Whether no step comes after `step`, of the `total_steps` that the engine counts."""
        return step >= (self.early_stop.step if self.early_stop else total_steps)

    def step(self, step: int, epoch: float) -> None:
        """An optimizer step is done. Afterwards `stop.requested` is the same in all processes.

        Raises:
            TrainerError: The save that ran in the background failed.
        """
        self.stop.ask()
        self._saver.check()
        self._tell_progress(step, epoch)
        if self._bar:
            self._bar.to(step)

    def log(self, step: int, epoch: float, metrics: Metrics, finite: tuple[str, ...] = ("loss", "grad_norm")) -> None:
        """Metrics of the training since the last log.

        Raises:
            TrainerError: LOSS_NOT_FINITE when one of `finite` is nan or infinite.
        """
        self.check_finite(step, {name: metrics[name] for name in finite if name in metrics})
        self.history.append("log", step, epoch, _finite(metrics))
        self._state.set_metrics(_finite(metrics))
        if self._bar:
            self._bar.show({"loss": metrics["loss"]})

    def evaluated(self, step: int, epoch: float, metrics: Metrics, by_class: ByClass | None = None) -> None:
        """Metrics on the evaluation rows, by names such as eval_loss and eval_accuracy, and those of each class.

        Afterwards `early_stop` says whether the run ends here.

        Raises:
            TrainerError: LOSS_NOT_FINITE when the loss is nan or infinite. Other metrics are left out then.
        """
        self.check_finite(step, {name: value for name, value in metrics.items() if name == "eval_loss"})
        self.history.append("evaluation", step, epoch, _finite(metrics), by_class)
        self._state.set_metrics(_finite(metrics))
        self._state.set_evaluations(self.history)
        self._tell_checkpoints()
        shown = ", ".join(f"{name} {format_number(value)}" for name, value in metrics.items())
        logger.info("step %d, epoch %s: %s", step, format_epoch(epoch), shown)
        if by_class:
            logger.info("step %d: %s", step, by_class.summary())
        self._decide_early_stop()
        if self.early_stop:
            logger.info("step %d: training ends early", step)
            self._tell_done(step, epoch)
            self._tell_adjustments()

    def save(self, snapshot: Snapshot) -> None:
        """Make a checkpoint of `snapshot`, and let older ones go.

        Returns once the state is copied; a thread writes it. One save at a time: this waits for the one before. A step
        that is saved already is left as it is.

        Raises:
            TrainerError: The save before this one failed, or this one where no copy was possible.
        """
        if snapshot.step == self.saved_step:
            return
        self.stage("Saving", f"saving the checkpoint of step {snapshot.step}")
        # An upload may take longer than the exchange of gradients, where the others would wait, allows.
        with self._processes.together():
            self._saver.wait()
        with self._processes.together():
            if self._processes.main:
                self._start_saving(snapshot)
        self.saved_step = snapshot.step
        self.stage("Training")

    def _start_saving(self, snapshot: Snapshot) -> None:
        copy = snapshot.copy()
        self._saver.start(partial(self._publish, snapshot, copy or snapshot.write))
        if copy is None:
            self._saver.wait()

    def check_finite(self, step: int, metrics: Metrics) -> None:
        """Before a step is saved, and in each log.

        Raises:
            TrainerError: LOSS_NOT_FINITE when a value is nan or infinite.
        """
        broken = next(((name, value) for name, value in metrics.items() if not math.isfinite(value)), None)
        if broken is None:
            self._last_finite_step = step
            return
        name, value = broken
        raise TrainerError(
            ExitCode.LOSS_NOT_FINITE,
            "LossNotFinite",
            f"{name} is {value} at step {step}; the last finite one was seen at step {self._last_finite_step}",
            f"lower training.learningRate ({self._config.training.learning_rate:g} now), add warmup_steps or a lower "
            "max_grad_norm to training.arguments, or use bf16 instead of fp16",
        )

    def best(self) -> SavedCheckpoint | None:
        """The checkpoint with the best value of evaluation.bestMetric; of equals the earliest."""
        if self._best_metric is None:
            return None
        saved = {checkpoint.step: checkpoint for checkpoint in self.store.saved}
        rated = [line for line in self.history.evaluations() if line.step in saved]
        best = best_of(rated, self._best_metric)
        return saved[best.step] if best else None

    def _publish(self, snapshot: Snapshot, write: Write) -> None:
        """In the thread that saves."""
        start = time.monotonic()
        written = self.store.scratch / f"step-{snapshot.step}"
        with output_failures(self.store.folder):
            self.store.sweep()
            written.mkdir()
            write(written)
        checkpoint = self.store.publish(written, snapshot.step, snapshot.epoch)
        self.rotate()
        where = self._output.shown(checkpoint.path)
        logger.info("step %d: saved %s in %.1f s", snapshot.step, where, time.monotonic() - start)

    def _decide_early_stop(self) -> None:
        patience = self._config.evaluation.patience
        if patience is not None and self._best_metric is not None:
            self.early_stop = early_stop(self.history.evaluations(), self._best_metric, patience)

    def _tell_adjustments(self) -> None:
        lines = self.history.adjustments()
        fits = [fit_of(self._config), *(Fit.from_numbers(line.metrics) for line in lines)]
        told = [
            Adjustment(
                step=line.step + 1,
                reason="CudaOutOfMemory" if before.processes == after.processes else "OtherProcesses",
                message=describe(before, after),
            )
            for line, (before, after) in zip(lines, pairwise(fits), strict=True)
        ]
        if stop := self.early_stop:
            value = format_number(stop.best_value)
            told.append(
                Adjustment(
                    step=stop.step,
                    reason="EarlyStopping",
                    message=f"{self._best_metric} has not become better than {value} of step {stop.best_step} "
                    f"in {self._config.evaluation.patience} evaluations",
                )
            )
        self._state.set_adjustments(told)

    def _tell_progress(self, step: int, epoch: float) -> None:
        seconds = time.monotonic() - self._start
        done, left = step - self._first_step, self._total_steps - step
        rate = (epoch - self._first_epoch) * self._rows / seconds if done and seconds else None
        self._state.set_progress(
            Progress(
                step=step,
                total_steps=self._total_steps,
                epoch=format_epoch(epoch),
                percent=100 * step // self._total_steps,
                eta_seconds=round(seconds / done * left) if done else None,
                samples_per_second=format_number(round(rate, 2)) if rate is not None else None,
            )
        )

    def _tell_done(self, step: int, epoch: float) -> None:
        self._state.set_progress(
            Progress(step=step, total_steps=step, epoch=format_epoch(epoch), percent=100, eta_seconds=0)
        )

    def _tell_checkpoints(self) -> None:
        with self._likely_problems:
            best, told = self.best(), None
            if best and self._best_metric:
                value = self.history.evaluation_at(best.step)[self._best_metric]
                told = BestCheckpoint(
                    step=best.step,
                    uri=self._output.uri_of(best.path),
                    metric=self._best_metric,
                    value=format_number(value),
                )
            self._state.set_checkpoints(self._output, self.store.saved, self.history, told)


def _finite(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
