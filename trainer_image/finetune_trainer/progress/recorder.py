"""Takes what an engine reports, and records it in the history, the run's state, the log and the progress bar."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.status import MAX_EVALUATIONS, Evaluation
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.progress.adjustments import Adjustments
from finetune_trainer.progress.bar import ProgressBar
from finetune_trainer.progress.checkpointing import Checkpointing
from finetune_trainer.progress.events import LOSS_AND_GRADIENT, TrainingEvents
from finetune_trainer.progress.history import History, Metrics
from finetune_trainer.progress.pace import Pace, completed
from finetune_trainer.progress.state import RunState, format_epoch, format_number, metric_values

logger = logging.getLogger(__name__)

_AT_FIRST = (
    "nothing was learnt before it, so that no learning rate is to blame: use bf16 instead of fp16, take out of "
    "training.arguments what changes the loss, and look for huge numbers in the labels"
)


class Recorder(TrainingEvents):
    """The events of one run. `TrainingEvents` says what each of them means."""

    def __init__(
        self,
        history: History,
        state: RunState,
        stop: StopSignal,
        checkpointing: Checkpointing,
        adjustments: Adjustments,
        learning_rate: float,
        *,
        main: bool = True,
    ) -> None:
        """Of several processes only the `main` one shows a bar. `learning_rate` is named where a loss is not finite."""
        self._history = history
        self._state = state
        self._stop = stop
        self._checkpointing = checkpointing
        self._adjustments = adjustments
        self._learning_rate = learning_rate
        self._main = main
        self._last_finite_step = 0
        self._pace: Pace | None = None
        self._bar: ProgressBar | None = None

    @property
    def stop_requested(self) -> bool:
        return self._stop.requested

    @property
    def stopped_early(self) -> bool:
        return self._adjustments.early_stop is not None

    @property
    def is_evaluating(self) -> bool:
        return self._state.current_stage == "Evaluating"

    @property
    def scratch(self) -> Path:
        return self._checkpointing.scratch

    def ask_to_stop(self) -> bool:
        self._state.heartbeat.beat()  # asked for each batch of an evaluation
        return self._stop.ask()

    def is_logged(self, step: int) -> bool:
        return bool(self._history.log_at(step))

    def is_evaluated(self, step: int) -> bool:
        return bool(self._history.evaluation_at(step))

    def is_saved(self, step: int) -> bool:
        return self._checkpointing.is_saved(step)

    def rewind(self, step: int) -> None:
        """Go on after `step`: the history was taken back to it."""
        self._last_finite_step = step
        self._state.set_metrics(self._history.newest())
        self._state.set_evaluations(self._newest_evaluations())

    def begin(self, step: int, total_steps: int, epoch: float, rows: int) -> None:
        self._pace = Pace(total_steps, rows, step, epoch)
        self._bar = ProgressBar(total_steps, step, self._state.log.write) if self._main else None
        self._state.stage("Training")
        self._report_progress(step, epoch)

    def step(self, step: int, epoch: float) -> None:
        self._state.heartbeat.step(step)  # before it waits for the other processes: one that is behind is seen
        self._stop.ask()
        self._checkpointing.check()
        self._report_progress(step, epoch)
        if self._bar:
            self._bar.to(step)

    def log(self, step: int, epoch: float, metrics: Metrics, finite: tuple[str, ...] = LOSS_AND_GRADIENT) -> None:
        self.check_finite(step, {name: metrics[name] for name in finite if name in metrics})
        self._history.append("log", step, epoch, _finite(metrics))
        self._state.set_metrics(_finite(metrics))
        if self._bar:
            self._bar.show({"loss": metrics["loss"]})

    @contextmanager
    def evaluating(self, rows: int) -> Iterator[None]:
        self._state.stage("Evaluating", f"evaluating {rows} rows")
        yield
        self._state.stage("Training")  # not after a failure: `is_evaluating` shows where it was

    def evaluated(self, step: int, epoch: float, metrics: Metrics, by_class: ByClass | None = None) -> None:
        self.check_finite(step, {name: value for name, value in metrics.items() if name == "eval_loss"})
        self._history.append("evaluation", step, epoch, _finite(metrics), by_class)
        self._state.set_metrics(_finite(metrics))
        self._state.set_evaluations(self._newest_evaluations())
        self._checkpointing.report()  # this may be the evaluation of the newest one
        shown = ", ".join(f"{name} {format_number(value)}" for name, value in metrics.items())
        logger.info("step %d, epoch %s: %s", step, format_epoch(epoch), shown)
        if by_class:
            logger.info("step %d: %s", step, by_class.summary())
        self._adjustments.update()
        if self.stopped_early:
            logger.info("step %d: training ends early", step)
            self._state.set_progress(completed(step, epoch))

    def check_finite(self, step: int, metrics: Metrics) -> None:
        broken = next(((name, value) for name, value in metrics.items() if not math.isfinite(value)), None)
        if broken is None:
            self._last_finite_step = step
            return
        name, value = broken
        later = (
            f"lower training.learningRate ({self._learning_rate:g} now), add warmup_steps or a lower "
            "max_grad_norm to training.arguments, or use bf16 instead of fp16"
        )
        raise TrainerError(
            ExitCode.LOSS_NOT_FINITE,
            Reason.LOSS_NOT_FINITE,
            f"{name} is {value} at step {step}; the last finite one was seen at step {self._last_finite_step}",
            _AT_FIRST if step == 1 and name in LOSS_AND_GRADIENT else later,
        )

    def save(self, snapshot: Snapshot) -> None:
        self._checkpointing.save(snapshot)

    def end(self) -> None:
        self._checkpointing.settle()
        if self._bar:
            self._bar.close()

    def _newest_evaluations(self) -> list[Evaluation]:
        return [
            Evaluation(step=line.step, epoch=format_epoch(line.epoch), metrics=metric_values(line.metrics))
            for line in self._history.evaluations()[-MAX_EVALUATIONS:]
        ]

    def _report_progress(self, step: int, epoch: float) -> None:
        if self._pace:
            self._state.set_progress(self._pace.progress(step, epoch, time.monotonic()))


def _finite(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
