"""The engine `trainer`: transformers' Trainer, with our checkpoints, stops and reports."""

import copy
import dataclasses
import json
import traceback
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from accelerate import FullyShardedDataParallelPlugin
from transformers import (
    EvalPrediction,
    PrinterCallback,
    TrainingArguments,
)

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import TrainingState, gathered_random_states, take_snapshot
from finetune_trainer.checkpoints.state_dicts import (
    full_optimizer_state,
    full_weights,
    load_optimizer_state,
    load_weights,
)
from finetune_trainer.engines.batching import (
    CurrentRows,
    EpochSampler,
    evaluation_order,
    evaluation_rows,
    train_sampler,
    training_rows,
)
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.engines.losses import (
    LossOverLabels,
    count_labels,
    first_rows,
    is_filled_up,
    own_rows,
    share_of_step,
)
from finetune_trainer.engines.transformers_callback import (
    EvaluationCut,
    EventsCallback,
    finite_values,
    steered_by_evaluation,
)
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.processes.exchange import gather_number
from finetune_trainer.processes.fsdp import enable_fsdp_on_cpu, is_sharded, sharding_units
from finetune_trainer.progress.events import TrainingEvents
from finetune_trainer.storage.layout import (
    OPTIMIZER,
    SCALER,
    SCHEDULER,
    TRAINER_STATE,
    TRAINING_ARGUMENTS,
    random_state_file,
)

_UNLOGGED = "UnloggedLosses"
"""Where the state of a checkpoint holds the losses that no log has yet."""


class Engine:
    """One run by transformers' Trainer."""

    def __init__(self, prepared: Prepared, events: TrainingEvents) -> None:
        self._events = events
        arguments = copy.copy(prepared.plan.arguments)  # the Trainer changes some of its own
        arguments.output_dir = str(events.scratch)
        try:
            self._trainer = _Trainer(prepared, events, arguments)
            # What is wrong with them for this model shall not come up after the loading.
            self._trainer.create_optimizer_and_scheduler(num_training_steps=1000)
        except (ImportError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
            refused = None if _is_raised_here(error) else explain_refusal(prepared.plan.config, error)
            if refused is None:
                raise
            raise refused from error
        loader = self._trainer.get_train_dataloader()
        values = self._trainer.set_initial_training_values(arguments, loader)
        self._steps_per_epoch, self.total_steps = int(values[1]), int(values[-1])
        """Optimizer steps of the whole run."""

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Train from `checkpoint`, or from the pretrained model, to the last step, or until it is asked to stop."""
        self._trainer.args.eval_on_start = bool(checkpoint and self._evaluation_was_cut(checkpoint))
        if checkpoint:
            load_weights(self._trainer.model, checkpoint.path)  # before the model is spread over processes
        try:
            self._trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
        except _NothingLeft:
            pass
        finally:
            self._events.end()

    def current_rows(self) -> CurrentRows | None:
        """Return the rows that were trained or evaluated on when `train` raised; None where that is not known."""
        trainer, data = self._trainer, self._trainer.prepared.data
        arguments, processes = trainer.args, trainer.args.world_size
        if data.evaluation and self._events.is_evaluating:
            return evaluation_rows(data.evaluation, trainer.evaluated, arguments.per_device_eval_batch_size, processes)
        epoch, step = divmod(trainer.state.global_step, self._steps_per_epoch)
        if trainer.sampler:
            trainer.sampler.set_epoch(epoch)
        elif arguments.train_sampling_strategy != "sequential":
            return None
        size, batches = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
        order = trainer.sampler or range(len(data.train.lengths))
        return training_rows(data.train, order, step, size, batches, processes)

    def _evaluation_was_cut(self, checkpoint: SavedCheckpoint) -> bool:
        """Whether a stop came between the last step before `checkpoint` and the evaluation due after it."""
        arguments = self._trainer.args
        if arguments.eval_strategy == "no" or self._events.is_evaluated(checkpoint.step):
            return False
        if checkpoint.step >= self.total_steps:
            return True
        if arguments.eval_strategy == "steps":
            return arguments.eval_steps is not None and checkpoint.step % int(arguments.eval_steps) == 0
        return float(checkpoint.epoch).is_integer()


def explain_refusal(config: RunConfig, error: Exception) -> TrainerError | None:
    """Return which setting is at fault when a library refuses to make the Trainer; None where no setting can be."""
    why = " ".join(str(error).split())
    if config.training.arguments:
        return bad_configuration(
            f"training.arguments: transformers' Trainer cannot be made of them: {why:.500}",
            "change what it names, such as optim, optim_args, lr_scheduler_type or lr_scheduler_kwargs",
        )
    if config.training.parallelism == "fsdp" and config.nodes * config.processes > 1:
        return bad_configuration(
            f"training.parallelism: fsdp cannot be set up for this model: {why:.500}",
            "set training.parallelism to ddp",
            Reason.SHARDING_NOT_POSSIBLE,
        )
    return None


def _is_raised_here(error: Exception) -> bool:
    """Return whether a line of this program raised `error`: a fault of ours, and not one of training.arguments."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).startswith(f"{__package__.partition('.')[0]}.")


class _NothingLeft(Exception):
    """After the evaluation that a resumed run begins with, no step is to come. transformers would do one."""


class _Trainer(transformers.Trainer):
    """Saves checkpoints by the events, and keeps evaluation from touching the training's random numbers."""

    def __init__(self, prepared: Prepared, events: TrainingEvents, arguments: TrainingArguments) -> None:
        self.prepared = prepared
        self._events = events
        self._grad_norm: Any = None
        self.evaluated = 0
        """Batches that the evaluation under way has done on this process."""
        self._first_step = 0
        self.sampler: EpochSampler | None = None
        self.by_class: ByClass | None = None
        """What the last evaluation found of each class."""

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            scores = prepared.data.scoring.scores()
            scores.add_batch(np.asarray(prediction.predictions), np.asarray(prediction.label_ids))
            mean = self._eval_loss.mean()
            metrics = {"loss": mean, **scores.compute(mean)}  # in place of the mean of means that the Trainer makes
            self.by_class = scores.by_class()
            return metrics

        def keep(logits: torch.Tensor | tuple[torch.Tensor, ...], labels: torch.Tensor) -> torch.Tensor:
            first = logits[0] if isinstance(logits, tuple) else logits  # some models give more
            return prepared.data.scoring.keep(first, labels)

        super().__init__(
            model=prepared.model,
            args=arguments,
            data_collator=prepared.data.collate,
            train_dataset=prepared.data.train.dataset,
            eval_dataset=prepared.data.evaluation.dataset if prepared.data.evaluation else None,
            processing_class=prepared.tokenizer,
            compute_metrics=compute,
            callbacks=[EventsCallback(self, events, len(prepared.data.train.lengths))],
            preprocess_logits_for_metrics=keep,
        )
        self._eval_loss = LossOverLabels(self.accelerator)
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # has the labels of a step counted, for `compute_loss`

    def create_accelerator_and_postprocess(self) -> None:
        if self.args.fsdp_plugin_args:
            self.args.fsdp_plugin_args |= sharding_units(self.prepared.model)
        super().create_accelerator_and_postprocess()
        if self.args.fsdp_plugin_args:
            enable_fsdp_on_cpu(self.accelerator, FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args))
            self.is_fsdp_enabled = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if num_items_in_batch is None or not model.training:  # an evaluation counts labels by `_count_loss`
            return super().compute_loss(model, inputs, return_outputs)
        own = count_labels(inputs, self._loss_shifts_labels)
        mean, outputs = super().compute_loss(model, inputs, return_outputs=True)
        loss = share_of_step(mean, own, num_items_in_batch)
        if self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the gradients become the mean over them
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        if self.control.should_save and not steered_by_evaluation(self.args):
            self._publish()  # an evaluation takes long and may break: no step shall be lost by it
        rows = len(self.prepared.data.evaluation.lengths) if self.prepared.data.evaluation else 0
        metrics: dict[str, float] = {}
        self._eval_loss, self.evaluated = LossOverLabels(self.accelerator), 0
        with self._events.evaluating(rows):
            try:
                with torch.random.fork_rng():
                    metrics = super().evaluate(*arguments, **options)
            except EvaluationCut:
                self.control.should_save = True
                self.control.should_training_stop = True
        over = self.control.should_training_stop or self.state.global_step >= self.state.max_steps
        if over and self.state.global_step == self._first_step:
            raise _NothingLeft
        return metrics

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        generation = self.prepared.data.scoring.generation
        loss, logits, labels = super().prediction_step(model, inputs, generation is not None, ignore_keys)
        self._count_loss(model, inputs, loss)
        if generation is None:
            return loss, logits, labels
        batch, writer = self._prepare_inputs(inputs), cast(Any, self.model)
        with torch.no_grad(), self.compute_loss_context_manager():
            texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
            written = writer.generate(**texts, **generation)
        return loss, written, batch["labels"]

    def _count_loss(self, model: Any, inputs: dict[str, Any], loss: Any) -> None:
        counted = count_labels(inputs, self._loss_shifts_labels)
        if is_filled_up(self.accelerator):
            own = own_rows(len(inputs["labels"]), self.accelerator)
            part = first_rows(inputs, own)  # in all of them, since FSDP needs all for a forward pass
            loss, _, _ = super().prediction_step(model, part, True)
            counted = count_labels(part, self._loss_shifts_labels) * bool(own)
        self._eval_loss.add(loss, counted)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The engine has done it, before the model was spread."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer, scheduler = cast(Any, self.optimizer), cast(Any, self.lr_scheduler)
        load_optimizer_state(self.model, optimizer.optimizer, Path(checkpoint) / OPTIMIZER)
        scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER, weights_only=True))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._publish()

    def _publish(self) -> None:
        if self._events.is_saved(self.state.global_step):
            return  # by `evaluate`
        step, losses = self.state.global_step, gather_number(float(self._tr_loss))
        values = {"loss": sum(losses), "grad_norm": float(self._grad_norm or 0)}
        self._events.check_finite(step, {name: values[name] for name in finite_values(self.args)})
        self._events.save(take_snapshot(step, self.state.epoch, self._training_state(losses)))

    def _training_state(self, losses: list[float]) -> TrainingState:
        """All that `train(resume_from_checkpoint=...)` reads, and the sum of each process's losses since the last log."""
        processes = self.args.world_size
        random_states = gathered_random_states(processes)
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        objects = {
            OPTIMIZER: full_optimizer_state(model, optimizer.optimizer),
            SCHEDULER: scheduler.state_dict(),
            TRAINING_ARGUMENTS: self.args,
            **{random_state_file(rank, processes): state for rank, state in enumerate(random_states)},
        }
        if self.accelerator.scaler is not None:
            objects[SCALER] = self.accelerator.scaler.state_dict()
        self.store_flos()
        state = dataclasses.asdict(self.state)
        state["stateful_callbacks"] = {_UNLOGGED: {"losses": losses, "since_step": self._globalstep_last_logged}}
        text = json.dumps(state, indent=2, sort_keys=True) + "\n"
        return TrainingState(
            model,
            self.prepared.tokenizer,
            full_weights(model),
            objects,
            {TRAINER_STATE: text},
            self.prepared.pretrained.use_cache,
        )

    def begin(self) -> None:
        """The first step of this attempt comes next."""
        self._first_step = self.state.global_step
        self._resume_unlogged()

    def _resume_unlogged(self) -> None:
        """Count the losses since the last log before the checkpoint, as if there had been no stop."""
        callbacks: Any = self.state.stateful_callbacks
        unlogged = callbacks.pop(_UNLOGGED, None)
        # Older checkpoints of an epoch's last step were made before its log, and hold what that has counted.
        if unlogged and not self._events.is_logged(self.state.global_step):
            losses = unlogged["losses"]
            own = losses[self.args.process_index] if len(losses) == self.args.world_size else sum(losses) / len(losses)
            self._tr_loss += own
            self._globalstep_last_logged = unlogged["since_step"]

    def _get_grad_norm(self, *arguments: Any, **options: Any) -> Any:
        self._grad_norm = super()._get_grad_norm(*arguments, **options)  # type: ignore[no-untyped-call]
        return self._grad_norm

    def _get_dataloader(self, *arguments: Any, **options: Any) -> Any:
        loader: Any = super()._get_dataloader(*arguments, **options)
        loader.base_dataloader.generator = (
            torch.Generator()
        )  # torch draws a seed for each iterator: not from the common
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy not in ("random", "group_by_length"):
            return super()._get_train_sampler(train_dataset)
        self.sampler = train_sampler(self.prepared.data.train, self.args)
        return self.sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        evaluation = self.prepared.data.evaluation
        return evaluation_order(evaluation) if evaluation else []
