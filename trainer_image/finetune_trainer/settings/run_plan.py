"""How a run trains: its settings and its device, put together once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import TrainingArguments

from finetune_api.run import RunConfig
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import Device
from finetune_trainer.settings.device_defaults import device_defaults, trains_in_bf16
from finetune_trainer.settings.training_arguments import build_arguments, check_loading


@dataclass(frozen=True)
class RunPlan:
    """How a run trains. Made once by `make_plan`, when its rows are counted, and passed as one."""

    config: RunConfig
    device: Device
    given: Mapping[str, Any]
    """training.arguments, as `check_arguments` returned them."""
    rows: int
    """Training rows; where texts are packed, sequences."""
    batch: BatchPlan
    arguments: TrainingArguments
    """`given`, the fields that other settings set, those of `batch`, and our defaults for the device.

    Its `output_dir` is a name only. Of a GPU on another machine it has no precision, which would be refused here.
    """
    bf16: bool
    """Whether the forward pass is in bfloat16."""

    @property
    def world_size(self) -> int:
        """Processes that train together, on all machines."""
        return self.config.nodes * self.config.processes

    def with_batch(self, batch: BatchPlan) -> "RunPlan":
        """The same run with other batches."""
        return make_plan(self.config, self.given, self.device, self.rows, batch)


def make_plan(config: RunConfig, given: Mapping[str, Any], device: Device, rows: int, batch: BatchPlan) -> RunPlan:
    """Put settings and device together.

    Args:
        given: training.arguments, as `check_arguments` returned them.
        rows: Training rows.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the field of training.arguments.
    """
    owned, defaults, of_batch = _owned_values(config, device), _defaults(config, rows, batch), batch.to_arguments()
    asked = {**given, **{name: value for name, value in of_batch.items() if name in given}}
    defaults |= {**device_defaults(given, device), **of_batch}
    arguments = build_arguments(asked, defaults, owned, elsewhere=device.gpu and not device.here)
    check_loading(arguments, rows, config.nodes * config.processes)
    return RunPlan(config, device, given, rows, batch, arguments, trains_in_bf16(given, device))


def _owned_values(config: RunConfig, device: Device) -> dict[str, Any]:
    training, evaluation, checkpoints = config.training, config.evaluation, config.checkpoints
    return {
        "output_dir": "checkpoints",
        "num_train_epochs": training.epochs,
        "learning_rate": training.learning_rate,
        "seed": training.seed,
        "use_cpu": not (device.gpu and device.here),
        "eval_strategy": evaluation.strategy if config.dataset.evaluation else "no",
        "eval_steps": evaluation.steps,
        "save_strategy": checkpoints.strategy,
        "save_steps": checkpoints.steps or 500,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "fsdp": True if training.parallelism == "fsdp" and config.nodes * config.processes > 1 else None,
    }


def _defaults(config: RunConfig, rows: int, batch: BatchPlan) -> dict[str, Any]:
    """What we choose where the user sets nothing: about fifty logs a run at most ten steps apart, little padding."""
    rows_in_step = batch.batch_size * batch.accumulation * config.nodes * config.processes
    steps = math.ceil(rows / rows_in_step) * config.training.epochs
    return {
        "logging_steps": int(min(10, max(1, steps // 50))),
        # Some models have weights that a task does not use. With activation checkpointing, too, which transformers leaves out.
        "ddp_find_unused_parameters": True,
        "train_sampling_strategy": "group_by_length" if config.preprocessing.padding == "longest" else "random",
    }
