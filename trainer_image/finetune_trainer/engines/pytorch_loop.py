"""The engine `pytorch`: a training loop in plain PyTorch, from the first batch to the last checkpoint.

`accelerate` knows about devices and processes; everything else is here to be read, copied and changed.
"""

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator, DistributedDataParallelKwargs, FullyShardedDataParallelPlugin, skip_first_batches
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import TrainingArguments

from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import (
    TrainingState,
    gathered_random_states,
    restore_random_state,
    take_snapshot,
)
from finetune_trainer.checkpoints.state_dicts import (
    full_optimizer_state,
    full_weights,
    load_optimizer_state,
    load_weights,
)
from finetune_trainer.data.examples import Examples
from finetune_trainer.engines.batching import (
    CurrentRows,
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
    shifts_labels,
)
from finetune_trainer.engines.lr_scheduler import make_lr_scheduler
from finetune_trainer.engines.schedule import Schedule
from finetune_trainer.processes.exchange import gather_number
from finetune_trainer.processes.fsdp import enable_fsdp_on_cpu, is_sharded, sharding_units
from finetune_trainer.progress.events import TrainingEvents
from finetune_trainer.settings.training_arguments import name_here
from finetune_trainer.storage.layout import OPTIMIZER, SCALER, SCHEDULER, TRAINER_STATE, random_state_file


class Engine:
    """One run by a loop of our own."""

    def __init__(self, prepared: Prepared, events: TrainingEvents) -> None:
        self._prepared, self._events = prepared, events
        data = prepared.data
        self._arguments = arguments = prepared.plan.arguments
        # Under fp16 a gradient that overflows is usual: the scaler skips that step.
        self._finite = ("loss",) if arguments.fp16 else ("loss", "grad_norm")
        determine = transformers.enable_full_determinism if arguments.full_determinism else transformers.set_seed
        determine(arguments.seed)
        self._accelerator = _accelerator(prepared.model, arguments)

        self._plain_model: Any = prepared.model
        if getattr(arguments, name_here("activation_checkpointing")):
            getattr(self._plain_model, f"{name_here('activation_checkpointing')}_enable")()
        self._shifted = shifts_labels(self._plain_model)
        self._sampler = train_sampler(data.train, arguments)
        self._batches = self._load(data.train, arguments.per_device_train_batch_size, self._sampler)
        self._evaluation_batches: Any = None
        if data.evaluation:
            size, order = arguments.per_device_eval_batch_size, evaluation_order(data.evaluation)
            self._evaluation_batches = self._load(data.evaluation, size, order)

        self._accumulation = arguments.gradient_accumulation_steps
        steps_per_epoch = math.ceil(len(self._batches) / self._accumulation)
        self._schedule = Schedule(prepared.plan.config, steps_per_epoch, arguments.logging_steps)
        self.total_steps: int = self._schedule.total_steps
        """Optimizer steps of the whole run."""
        self._optimizer: Any = _optimizer(self._plain_model, arguments)
        self._lr_scheduler = make_lr_scheduler(self._optimizer, arguments, self.total_steps)
        self._step, self._epoch = 0, 0.0
        self._evaluated = 0
        """Batches that the evaluation under way has done on this process."""
        self._loss, self._logged_step = torch.zeros((), device=self._accelerator.device), 0
        """Sum of the losses of the steps since the one that was logged last, on this process."""

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Train from `checkpoint`, or from the pretrained model, to the last step, or until it is asked to stop."""
        self._begin(checkpoint)
        self._events.begin(self._step, self.total_steps, self._epoch, len(self._prepared.data.train.lengths))
        try:
            if checkpoint and self._schedule.evaluates(self._step):
                self._evaluate()  # a stop may have come before this was done
            if not self._ends_here():
                self._train(checkpoint)
        finally:
            self._events.end()

    def current_rows(self) -> CurrentRows:
        """Return the rows that were trained or evaluated on when `train` raised."""
        data, arguments, processes = self._prepared.data, self._arguments, self._accelerator.num_processes
        if data.evaluation and self._events.is_evaluating:
            return evaluation_rows(data.evaluation, self._evaluated, arguments.per_device_eval_batch_size, processes)
        epoch, step = divmod(self._step, self._schedule.steps_per_epoch)
        self._sampler.set_epoch(epoch)
        size = arguments.per_device_train_batch_size
        return training_rows(data.train, self._sampler, step, size, self._accumulation, processes)

    def _train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Take all steps that are left."""
        for batches in self._steps(checkpoint):
            self._model.train()
            labels = self._sum([count_labels(batch, self._shifted) for batch in batches])
            for number, batch in enumerate(batches, start=1):
                # Gradients go from process to process once a step, with its last batch.
                with nullcontext() if number == len(batches) else self._accelerator.no_sync(self._model):
                    loss = share_of_step(self._model(**batch).loss, count_labels(batch, self._shifted), labels)
                    # The gradients become the mean over the processes, and shall be their sum.
                    self._accelerator.backward(loss * self._accelerator.num_processes)
                self._loss += loss.detach()

            most = self._arguments.max_grad_norm or math.inf
            self._gradient_norm = self._accelerator.clip_grad_norm_(self._model.parameters(), most)
            self._optimizer.step()
            learning_rate = self._lr_scheduler.get_last_lr()[0]
            if not self._accelerator.optimizer_step_was_skipped:  # as under fp16 where a gradient overflows
                self._lr_scheduler.step()
            self._optimizer.zero_grad()

            self._step += 1
            self._events.step(self._step, self._epoch)
            if self._schedule.logs(self._step):
                self._log(learning_rate)
            if self._schedule.saves(self._step):
                self._save()  # before an evaluation, which takes long and may break
            if self._schedule.evaluates(self._step) and not self._events.stop_requested:
                self._evaluate()
            if self._ends_here():
                self._save()
                return

    def _steps(self, checkpoint: SavedCheckpoint | None) -> Iterator[list[dict[str, torch.Tensor]]]:
        """Yield the batches of each step that is left, and keep count of the epoch."""
        if checkpoint:
            self._restore_random_numbers(checkpoint)
        epoch, steps_done = divmod(self._step, self._schedule.steps_per_epoch)
        done = steps_done * self._accumulation
        while self._step < self.total_steps:
            loader = skip_first_batches(self._batches, done) if done else self._batches
            loader.set_epoch(epoch)
            self._sampler.set_epoch(epoch)  # after skipping, a loader of one of several processes does not reach it
            batches = iter(loader)
            while self._step < self.total_steps and (group := list(islice(batches, self._accumulation))):
                done += len(group)
                self._epoch = epoch + done / len(self._batches)
                yield group
            epoch, done = epoch + 1, 0

    def _restore_random_numbers(self, checkpoint: SavedCheckpoint) -> None:
        restore_random_state(checkpoint.path, self._accelerator.process_index, self._accelerator.num_processes)

    def _ends_here(self) -> bool:
        return self._events.stop_requested or self._events.stopped_early

    def _evaluate(self) -> None:
        """Evaluate the model as it is now, unless that was done; a stop cuts it short."""
        if self._evaluation_batches is None or self._events.is_evaluated(self._step):
            return
        scores, losses = self._prepared.data.scoring.scores(), LossOverLabels(self._accelerator)
        self._model.eval()
        self._evaluated = 0
        # The training goes on with the random numbers that it would have drawn.
        with (
            self._events.evaluating(self._evaluation_batches.total_dataset_length),
            torch.random.fork_rng(),
            torch.no_grad(),
        ):
            for batch in self._evaluation_batches:
                if self._events.ask_to_stop():
                    return
                predictions, labels = self._predict(batch, losses)
                scores.add_batch(predictions.cpu().numpy(), labels.cpu().numpy())
                self._evaluated += 1
            mean = losses.mean()
            metrics = {f"eval_{name}": value for name, value in {"loss": mean, **scores.compute(mean)}.items()}
            self._events.evaluated(self._step, self._epoch, metrics, scores.by_class())

    def _predict(self, batch: dict[str, torch.Tensor], losses: LossOverLabels) -> tuple[torch.Tensor, torch.Tensor]:
        """Return predictions and labels of the rows that all processes have now, each of shape (rows, …)."""
        labels, outputs, scoring = batch["labels"], self._model(**batch), self._prepared.data.scoring
        loss, counted = outputs.loss, count_labels(batch, self._shifted)
        if is_filled_up(self._accelerator):
            own = own_rows(len(labels), self._accelerator)
            part = first_rows(batch, own)  # in all of them, since FSDP needs all for a forward pass
            loss, counted = self._model(**part).loss, count_labels(part, self._shifted) * bool(own)
        losses.add(loss, counted)
        if scoring.generation is None:
            predictions = scoring.keep(outputs.logits, labels)
        else:
            texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
            predictions = self._plain_model.generate(**texts, **scoring.generation)
        padded = self._accelerator.pad_across_processes((predictions, labels), dim=1, pad_index=IGNORED_LABEL)
        predictions, labels = self._accelerator.gather_for_metrics(padded)
        return predictions, labels

    def _log(self, learning_rate: float) -> None:
        loss = float(self._sum([self._loss])) / (self._step - self._logged_step)
        metrics = {"loss": loss, "grad_norm": float(self._gradient_norm), "learning_rate": learning_rate}
        self._events.log(self._step, self._epoch, metrics, self._finite)
        self._loss.zero_()
        self._logged_step = self._step

    def _save(self) -> None:
        """Save the state as it is now, unless that was done."""
        if self._events.is_saved(self._step):
            return
        losses = gather_number(float(self._loss))
        values = {"loss": sum(losses), "grad_norm": float(self._gradient_norm)}
        self._events.check_finite(self._step, {name: values[name] for name in self._finite})
        objects = {
            OPTIMIZER: full_optimizer_state(self._plain_model, self._optimizer.optimizer),
            SCHEDULER: self._lr_scheduler.state_dict(),
        }
        if self._accelerator.scaler is not None:
            objects[SCALER] = self._accelerator.scaler.state_dict()
        processes = self._accelerator.num_processes
        for rank, numbers in enumerate(gathered_random_states(processes)):
            objects[random_state_file(rank, processes)] = numbers
        texts = {TRAINER_STATE: json.dumps({"losses": losses, "logged_step": self._logged_step})}
        weights = full_weights(self._plain_model)
        state = TrainingState(
            self._plain_model, self._prepared.tokenizer, weights, objects, texts, self._prepared.pretrained.use_cache
        )
        self._events.save(take_snapshot(self._step, self._epoch, state))

    def _begin(self, checkpoint: SavedCheckpoint | None) -> None:
        """Move model and optimizer to their devices, and load `checkpoint`. `_steps` loads its random numbers."""
        if checkpoint:
            load_weights(self._plain_model, checkpoint.path)
        self._model, self._optimizer = self._accelerator.prepare(self._plain_model, self._optimizer)
        if is_sharded(self._plain_model) and self._prepared.data.scoring.generation is not None:
            register_fsdp_forward_method(self._plain_model, "generate")  # gathers the weights for it, too
        if checkpoint:
            load_optimizer_state(self._plain_model, self._optimizer.optimizer, checkpoint.path / OPTIMIZER)
            self._lr_scheduler.load_state_dict(_read(checkpoint.path / SCHEDULER))
            if self._accelerator.scaler is not None:
                self._accelerator.scaler.load_state_dict(_read(checkpoint.path / SCALER))
            self._step, self._epoch = checkpoint.step, checkpoint.epoch
            unlogged = json.loads((checkpoint.path / TRAINER_STATE).read_text(encoding="utf-8"))
            losses, self._logged_step = unlogged["losses"], unlogged["logged_step"]
            same = len(losses) == self._accelerator.num_processes
            own = losses[self._accelerator.process_index] if same else sum(losses) / self._accelerator.num_processes
            self._loss.fill_(own)

    def _load(self, examples: Examples, batch_size: int, order: Any) -> Any:
        """Return a loader of batches on the device; with several processes each has its own."""
        loader: DataLoader[Any] = DataLoader(
            examples.dataset,
            batch_size=batch_size,
            sampler=order,
            collate_fn=self._prepared.data.collate,
            num_workers=self._arguments.dataloader_num_workers,
            pin_memory=self._arguments.dataloader_pin_memory,
            persistent_workers=self._arguments.dataloader_persistent_workers,
            prefetch_factor=self._arguments.dataloader_prefetch_factor,
            # torch draws a seed for each iterator, and persistent workers have one for all epochs: from the common
            # numbers, a resumed run would draw once more.
            generator=torch.Generator(),
        )
        return self._accelerator.prepare_data_loader(loader)

    def _sum(self, numbers: list[torch.Tensor]) -> torch.Tensor:
        """Return the sum over the list and over all processes, a scalar."""
        total: torch.Tensor = self._accelerator.reduce(torch.stack(numbers).sum(), "sum")
        return total


def _accelerator(model: torch.nn.Module, arguments: TrainingArguments) -> Accelerator:
    sharding = arguments.fsdp_plugin_args
    plugin = FullyShardedDataParallelPlugin(**{**sharding, **sharding_units(model)}) if sharding else None
    # DDP must know that some models have weights that a task does not use.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(mixed_precision=arguments.mixed_precision, fsdp_plugin=plugin, kwargs_handlers=[unused])
    if plugin:
        enable_fsdp_on_cpu(accelerator, plugin)
    return accelerator


def _optimizer(model: torch.nn.Module, arguments: TrainingArguments) -> AdamW:
    """Return AdamW without weight decay for biases and norms, which are vectors."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return AdamW(
        [
            {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": arguments.weight_decay},
            {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
        ],
        lr=arguments.learning_rate,
        betas=(arguments.adam_beta1, arguments.adam_beta2),
        eps=arguments.adam_epsilon,
        fused=arguments.optim == "adamw_torch_fused",
    )


def _read(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
