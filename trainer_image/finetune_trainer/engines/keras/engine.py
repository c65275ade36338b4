"""The engine `keras`: a KerasHub classifier, `compile` and `fit`. What it saves and exports is a transformers model.

One item of the data set that `fit` goes through is one optimizer step, over all epochs: so a run can go on from any step.
"""

import math
from collections.abc import Callable

import keras
import torch
import transformers

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration, model_error
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import (
    TrainingState,
    random_state,
    restore_random_state,
    take_snapshot,
    weights_of,
)
from finetune_trainer.checkpoints.state_dicts import load_weights
from finetune_trainer.data.examples import Examples
from finetune_trainer.engines.batching import (
    CurrentRows,
    evaluation_order,
    evaluation_rows,
    train_sampler,
    training_rows,
)
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.engines.keras.model import KerasTwin
from finetune_trainer.engines.lr_scheduler import make_lr_scheduler
from finetune_trainer.engines.schedule import Schedule
from finetune_trainer.progress.events import TrainingEvents
from finetune_trainer.storage.layout import OPTIMIZER, random_state_file

Batch = dict[str, torch.Tensor]
Step = tuple[list[Batch], list[torch.Tensor]]
"""Inputs and labels of the batches of one optimizer step."""
_LOSSES = {
    "single_label_classification": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "multi_label_classification": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "regression": lambda: keras.losses.MeanSquaredError(),
}
"""By transformers' problem type: the same losses as its models have."""


class Engine:
    """One run by Keras."""

    def __init__(self, prepared: Prepared, events: TrainingEvents) -> None:
        self._prepared, self._events = prepared, events
        config, arguments = prepared.plan.config, prepared.plan.arguments
        self._batch_size = prepared.plan.batch.batch_size
        self._eval_rows = arguments.per_device_eval_batch_size
        self._sampler = train_sampler(prepared.data.train, arguments)
        self._batches = math.ceil(prepared.plan.rows / self._batch_size)
        self._accumulation = arguments.gradient_accumulation_steps
        self._schedule = Schedule(config, math.ceil(self._batches / self._accumulation), arguments.logging_steps)
        self.total_steps = self._schedule.total_steps
        """Optimizer steps of the whole run."""
        self._step, self._evaluated = 0, 0
        self._resumed: SavedCheckpoint | None = None
        self._order: tuple[int, list[int]] = (-1, [])
        self._losses: list[float] = []
        transformers.set_seed(config.training.seed)  # Keras draws the seeds of its layers from Python's numbers
        self._precision = "mixed_bfloat16" if arguments.bf16 else "float32"
        self._twin = KerasTwin(prepared.model, self._precision)
        self._rate = _learning_rates(arguments, self.total_steps)
        self._model = _Classifier(self._twin.classifier.input, self._twin.classifier.output)
        self._model.gradient_limit = arguments.max_grad_norm or float("inf")
        optimizer = keras.optimizers.AdamW(
            learning_rate=lambda: self._rate(self._step),
            weight_decay=arguments.weight_decay,
            beta_1=arguments.adam_beta1,
            beta_2=arguments.adam_beta2,
            epsilon=arguments.adam_epsilon,
        )
        optimizer.exclude_from_weight_decay(self._twin.not_decayed())
        optimizer.build(self._model.trainable_variables)
        self._model.compile(optimizer, loss=_LOSSES[str(prepared.model.config.problem_type)]())
        self._check_answers()

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Train from `checkpoint`, or from the pretrained model, to the last step, or until it is asked to stop."""
        if checkpoint:
            self._load(checkpoint)
        first, events = self._step, self._events
        events.begin(first, self.total_steps, self._epoch_after(first), len(self._prepared.data.train.lengths))
        try:
            if checkpoint and self._schedule.evaluates(first):
                self._evaluate()  # a stop may have come before this was done
            if self._ends_here():
                return
            self._model.fit(
                _Steps(self.total_steps, first, self._step_after),
                callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: self._after_step(logs))],
                shuffle=False,
                verbose=0,
            )
        finally:
            events.end()

    def current_rows(self) -> CurrentRows:
        """Return the rows that were trained or evaluated on when `train` raised."""
        data = self._prepared.data
        if data.evaluation and self._events.is_evaluating:
            return evaluation_rows(data.evaluation, self._evaluated, self._eval_rows)
        epoch, step = divmod(self._step, self._schedule.steps_per_epoch)
        self._sampler.set_epoch(epoch)
        return training_rows(data.train, self._sampler, step, self._batch_size, self._accumulation)

    def _step_after(self, done: int) -> Step:
        """Return the batches of the step that follows `done` others, each padded by itself."""
        if self._resumed:
            # Not before: torch's data loader too has drawn a random number.
            restore_random_state(self._resumed.path)
            self._resumed = None
        epoch, number = divmod(done, self._schedule.steps_per_epoch)
        if self._order[0] != epoch:
            self._sampler.set_epoch(epoch)
            self._order = epoch, list(self._sampler)
        size, rows = self._batch_size, self._order[1]
        first = number * self._accumulation
        starts = range(first * size, min((first + self._accumulation) * size, len(rows)), size)
        batches = [self._batch(self._prepared.data.train, rows[start : start + size]) for start in starts]
        return [inputs for inputs, _ in batches], [labels for _, labels in batches]

    def _epoch_after(self, done: int) -> float:
        """Return the passes over the training rows after `done` steps."""
        epochs, number = divmod(done, self._schedule.steps_per_epoch)
        return epochs + number * self._accumulation / self._batches

    def _after_step(self, logs: dict[str, float]) -> None:
        """Log, evaluate and save where it is due, and stop where that is asked for."""
        self._step += 1
        self._losses.append(logs["loss"])
        step, events = self._step, self._events
        events.step(step, self._epoch_after(step))
        if self._schedule.logs(step):
            loss = sum(self._losses) / len(self._losses)
            metrics = {"loss": loss, "grad_norm": logs["grad_norm"], "learning_rate": self._rate(step - 1)}
            events.log(step, self._epoch_after(step), metrics)
            self._losses = []
        if self._schedule.saves(step):
            self._save(logs)  # before an evaluation, which takes long and may break
        if self._schedule.evaluates(step) and not events.stop_requested:
            self._evaluate()
        if self._ends_here():
            self._save(logs)
            self._model.stop_training = True

    def _ends_here(self) -> bool:
        return self._events.stop_requested or self._events.stopped_early or self._step >= self.total_steps

    def _evaluate(self) -> None:
        """Evaluate the model as it is now, unless that was done; a stop cuts it short."""
        data = self._prepared.data.evaluation
        if data is None or self._events.is_evaluated(self._step):
            return
        scoring, loss = self._prepared.data.scoring, 0.0
        scores = scoring.scores()
        by_length = evaluation_order(data)
        with self._events.evaluating(len(data.lengths)):
            for number, start in enumerate(range(0, len(by_length), self._eval_rows)):
                self._evaluated = number
                if self._events.ask_to_stop():
                    return
                inputs, labels = self._batch(data, by_length[start : start + self._eval_rows])
                with torch.no_grad():
                    logits = self._model(inputs, training=False)
                    loss += float(self._model.compute_loss(y=labels, y_pred=logits)) * len(labels)
                kept = scoring.keep(logits.float().cpu(), labels)
                scores.add_batch(kept.numpy(), labels.numpy())
            mean = loss / len(by_length)
            metrics = {f"eval_{name}": value for name, value in {"loss": mean, **scores.compute(mean)}.items()}
            self._events.evaluated(self._step, self._epoch_after(self._step), metrics, scores.by_class())

    def _batch(self, examples: Examples, rows: list[int]) -> tuple[Batch, torch.Tensor]:
        """Return inputs by KerasHub's names, each of shape (rows, tokens), and labels, shape (rows,) or (rows, classes)."""
        batch = self._prepared.data.collate([examples.dataset[row] for row in rows])
        return self._twin.inputs(batch), batch["labels"]

    def _save(self, logs: dict[str, float]) -> None:
        """Save the state as it is now, unless that was done."""
        if self._events.is_saved(self._step):
            return
        self._events.check_finite(self._step, {"loss": logs["loss"], "grad_norm": logs["grad_norm"]})
        self._twin.give()
        objects = {
            OPTIMIZER: {
                "variables": [entry.value for entry in self._model.optimizer.variables],
                "losses": self._losses,
            },
            random_state_file(0, 1): random_state(),
        }
        model, tokenizer = self._prepared.model, self._prepared.tokenizer
        state = TrainingState(model, tokenizer, weights_of(model), objects, {}, self._prepared.pretrained.use_cache)
        self._events.save(take_snapshot(self._step, self._epoch_after(self._step), state))

    def _load(self, checkpoint: SavedCheckpoint) -> None:
        """Go on from `checkpoint`; the random numbers of dropout follow with the first batch."""
        load_weights(self._prepared.model, checkpoint.path)
        self._twin.take()
        saved = torch.load(checkpoint.path / OPTIMIZER, weights_only=True)
        for variable, value in zip(self._model.optimizer.variables, saved["variables"], strict=True):
            variable.assign(value)
        self._losses = saved["losses"]
        self._step, self._resumed = checkpoint.step, checkpoint

    def _check_answers(self) -> None:
        """Check that the model answers as that of transformers does: an architecture has more variants than a converter knows.

        Raises:
            TrainerError: MODEL where logits or loss differ.
        """
        data, model = self._prepared.data, self._prepared.model.eval()
        rows = sorted({0, len(data.train.lengths) - 1})
        inputs, labels = self._batch(data.train, rows)
        with torch.no_grad():
            expected = model(**data.collate([data.train.dataset[row] for row in rows]))
            logits = self._model(inputs, training=False)
            loss = self._model.compute_loss(y=labels, y_pred=logits)
        tolerance = 1e-3 if self._precision == "float32" else 0.1
        difference = float((expected.logits - logits.float().cpu()).abs().max() / (1 + expected.logits.abs().max()))
        if max(difference, abs(float(loss) - float(expected.loss))) > tolerance:
            raise model_error(
                Reason.MODEL_NOT_SUPPORTED,
                f"KerasHub's {type(self._twin.classifier).__name__} answers other than {self._prepared.plan.config.model.source}"
                f" in transformers (by {difference:.2g})",
                "use engine 'trainer' or 'pytorch'",
            )


class _Classifier(keras.Model):  # type: ignore[misc]
    """A functional model with a training step that accumulates gradients, and returns their norm before it is clipped."""

    gradient_limit: float

    def train_step(self, data: Step) -> dict[str, torch.Tensor]:
        """Take an optimizer step over batches whose gradients are summed up, each by its share of the rows."""
        inputs, labels = data
        rows = sum(len(part) for part in labels)
        loss = torch.zeros((), device=labels[0].device)
        self.zero_grad()
        for batch, expected in zip(inputs, labels, strict=True):
            share = self.compute_loss(y=expected, y_pred=self(batch, training=True)) * (len(expected) / rows)
            share.backward()
            loss += share.detach()
        variables = self.trainable_variables
        norm = torch.nn.utils.clip_grad_norm_([variable.value for variable in variables], self.gradient_limit)
        with torch.no_grad():
            self.optimizer.apply([variable.value.grad for variable in variables], variables)
        return {"loss": loss, "grad_norm": norm}


class _Steps(keras.utils.PyDataset):  # type: ignore[misc]
    """The optimizer steps after the first `done` ones, each as `_Classifier.train_step` takes it."""

    def __init__(self, total: int, done: int, step: Callable[[int], Step]) -> None:
        super().__init__()
        self._total, self._done, self._step = total, done, step

    def __len__(self) -> int:
        return self._total - self._done

    def __getitem__(self, index: int) -> Step:
        return self._step(self._done + index)


def _learning_rates(arguments: transformers.TrainingArguments, total_steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the steps done, by transformers' schedule of the same name."""
    schedule = make_lr_scheduler(torch.optim.SGD([torch.zeros(1)], arguments.learning_rate), arguments, total_steps)
    if not isinstance(schedule, torch.optim.lr_scheduler.LambdaLR):
        kind = transformers.SchedulerType(arguments.lr_scheduler_type).value
        raise bad_configuration(
            f"training.arguments.lr_scheduler_type: '{kind}' depends on more than the step",
            "use another, such as linear or cosine, or engine 'trainer'",
        )
    factor = schedule.lr_lambdas[0]
    return lambda steps: float(arguments.learning_rate * factor(steps))
