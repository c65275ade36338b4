"""Reports the steps of transformers' Trainer as events, and stops it."""

from typing import Any, Protocol

from transformers import SchedulerType, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.engines.batching import EpochSampler
from finetune_trainer.progress.events import TrainingEvents
from finetune_trainer.settings.arguments import STEERED_BY_EVALUATION


class EvaluationCut(Exception):
    """A stop came in the middle of an evaluation."""


class Observed(Protocol):
    """What the callback needs of the Trainer."""

    sampler: EpochSampler | None
    by_class: Any
    evaluated: int

    def begin(self) -> None: ...


class EventsCallback(TrainerCallback):
    """Comes after the Trainer's own callbacks."""

    def __init__(self, trainer: Observed, events: TrainingEvents, rows: int) -> None:
        self._trainer = trainer
        self._events = events
        self._rows = rows

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.begin()
        self._events.begin(state.global_step, state.max_steps, state.epoch, self._rows)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._trainer.sampler:
            # After a resume the loader of one of several processes does not reach it.
            self._trainer.sampler.set_epoch(int(state.epoch))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._events.step(state.global_step, state.epoch)
        # Not only in `on_epoch_end`: a checkpoint of this step must come after the log, or its losses are logged twice.
        control.should_log |= float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if self._events.stop_requested:
            self._stop(args, state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._events.stop_requested:
            self._stop(args, state, control)
        control.should_log = (
            False  # the last step has; where a stop breaks the epoch off, a whole run has no log either
        )

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.evaluated += 1
        if self._events.ask_to_stop() and not steered_by_evaluation(args):
            raise EvaluationCut

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            metrics = {name: value for name, value in logs.items() if name != "epoch"}
            self._events.log(state.global_step, state.epoch, metrics, finite_values(args))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        timing = ("_runtime", "_per_second", "_preparation_time")
        measured = {n: v for n, v in (metrics or {}).items() if n.startswith("eval_") and not n.endswith(timing)}
        self._events.evaluated(state.global_step, state.epoch, measured, self._trainer.by_class)
        if self._events.stopped_early:
            control.should_training_stop = True
            control.should_save = True

    def _stop(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        control.should_training_stop = True
        control.should_save = True  # a step that is saved is not saved again
        control.should_evaluate = control.should_evaluate and steered_by_evaluation(args)


def finite_values(arguments: TrainingArguments) -> tuple[str, ...]:
    """Return which metrics must be finite. Under fp16 a gradient that overflows is usual: the scaler skips that step."""
    return ("loss",) if arguments.fp16 else ("loss", "grad_norm")


def steered_by_evaluation(arguments: TrainingArguments) -> bool:
    """Return whether the learning rate follows the evaluations, so that none may be left out."""
    return SchedulerType(arguments.lr_scheduler_type).value in STEERED_BY_EVALUATION
