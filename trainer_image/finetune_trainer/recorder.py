"""What an engine tells while it trains: from here it goes to the history, the checkpoints and the reports."""

import logging
import math
import time

from finetune_api.report import ExitCode, Stage
from finetune_api.run import RunConfig
from finetune_api.status import BestCheckpoint, Progress
from finetune_trainer.checkpoints import CheckpointStore, SavedCheckpoint, Snapshot
from finetune_trainer.failures import TrainerError, output_failures
from finetune_trainer.history import History, Metrics
from finetune_trainer.progress_bar import ProgressBar
from finetune_trainer.state import RunState, format_epoch, format_number
from finetune_trainer.stop import StopSignal
from finetune_trainer.storage import Output

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
    ) -> None:
        self.store = store
        self.stop = stop
        self.history = history
        self._config = config
        self._output = output
        self._state = state
        self._best_metric = f"eval_{config.evaluation.best_metric}" if config.evaluation.best_metric else None
        self._last_finite_step = 0
        self._bar: ProgressBar | None = None

    def stage(self, stage: Stage, message: str | None = None) -> None:
        self._state.stage(stage, message)

    def resume(self, checkpoint: SavedCheckpoint | None) -> None:
        """Go on from `checkpoint`, or start anew."""
        step = checkpoint.step if checkpoint else 0
        self.history.resume(step)
        self._last_finite_step = step
        self._state.set_resumed_from(step)
        self._state.set_metrics(self.history.newest())
        self._state.set_evaluations(self.history)
        self._tell_checkpoints()

    def begin(self, step: int, total_steps: int, epoch: float, rows: int) -> None:
        """The first step comes next. `rows` is the number of training rows."""
        self._total_steps, self._rows = total_steps, rows
        self._first_step, self._first_epoch, self._start = step, epoch, time.monotonic()
        self._bar = ProgressBar(total_steps, step)
        self.stage("Training")
        self._tell_progress(step, epoch)

    def nothing_left(self, last: SavedCheckpoint) -> None:
        """The run was trained to its end before; `last` is the checkpoint of its last step."""
        self._state.set_progress(
            Progress(step=last.step, total_steps=last.step, epoch=format_epoch(last.epoch), percent=100, eta_seconds=0)
        )

    def end(self) -> None:
        """No step comes any more."""
        if self._bar:
            self._bar.close()

    def step(self, step: int, epoch: float) -> None:
        """An optimizer step is done."""
        self._tell_progress(step, epoch)
        if self._bar:
            self._bar.to(step)

    def log(self, step: int, epoch: float, metrics: Metrics, finite: tuple[str, ...] = ("loss", "grad_norm")) -> None:
        """Metrics of the training since the last log.

        Raises:
            TrainerError: LOSS_NOT_FINITE when one of `finite` is nan or infinite.
        """
        self._check_finite(step, {name: metrics[name] for name in finite if name in metrics})
        self._last_finite_step = step
        self.history.append("log", step, epoch, {n: value for n, value in metrics.items() if math.isfinite(value)})
        self._state.set_metrics(metrics)
        if self._bar:
            self._bar.show({"loss": metrics["loss"]})

    def evaluated(self, step: int, epoch: float, metrics: Metrics) -> None:
        """Metrics on the evaluation rows, by names such as eval_loss and eval_accuracy."""
        self._check_finite(step, metrics)
        self.history.append("evaluation", step, epoch, metrics)
        self._state.set_metrics(metrics)
        self._state.set_evaluations(self.history)
        self._tell_checkpoints()
        shown = ", ".join(f"{name} {format_number(value)}" for name, value in metrics.items())
        logger.info("step %d, epoch %s: %s", step, format_epoch(epoch), shown)

    def save(self, snapshot: Snapshot) -> None:
        """Make a checkpoint of `snapshot`, and let older ones go."""
        self.stage("Saving", f"saving the checkpoint of step {snapshot.step}")
        written = self.store.scratch / f"step-{snapshot.step}"
        with output_failures(self.store.folder):
            written.mkdir()
            snapshot.write(written)
        checkpoint = self.store.publish(written, snapshot.step, snapshot.epoch)
        self.store.rotate(self.best())
        self._tell_checkpoints()
        logger.info("step %d: saved %s", snapshot.step, checkpoint.path)
        self.stage("Training")

    def best(self) -> SavedCheckpoint | None:
        """The checkpoint with the best value of evaluation.bestMetric; of equals the earliest."""
        if self._best_metric is None:
            return None
        sign = 1 if self._best_metric == "eval_loss" else -1
        rated = [
            (sign * metrics[self._best_metric], checkpoint.step, checkpoint)
            for checkpoint in self.store.saved
            if self._best_metric in (metrics := self.history.evaluation_at(checkpoint.step))
        ]
        return min(rated, key=lambda entry: entry[:2])[2] if rated else None

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
                eta_seconds=min(round(seconds / done * left), 3_153_600_000) if done else None,
                samples_per_second=format_number(round(rate, 2)) if rate is not None else None,
            )
        )

    def _tell_checkpoints(self) -> None:
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

    def _check_finite(self, step: int, metrics: Metrics) -> None:
        broken = next(((name, value) for name, value in metrics.items() if not math.isfinite(value)), None)
        if broken is None:
            return
        name, value = broken
        raise TrainerError(
            ExitCode.LOSS_NOT_FINITE,
            "LossNotFinite",
            f"{name} is {value} at step {step}; the last finite one was seen at step {self._last_finite_step}",
            f"lower training.learningRate ({self._config.training.learning_rate:g} now), add warmup_steps or a lower "
            "max_grad_norm to training.arguments, or use bf16 instead of fp16",
        )
