"""How a run trains: its settings and its device, put together once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import TrainingArguments

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.settings.arguments import check_arguments, named_as_here
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import Device
from finetune_trainer.settings.device_defaults import device_defaults, trains_in_bf16

_PRECISION = ("bf16", "bf16_full_eval", "fp16", "fp16_full_eval", "tf32")
"""Fields of TrainingArguments that it checks against the device of this machine."""


@dataclass(frozen=True)
class RunPlan:
    """How a run trains. Made once by `make_plan`, when its rows are counted, and passed as one."""

    config: RunConfig
    device: Device
    rows: int
    """Training rows; where texts are packed, sequences."""
    batch: BatchPlan
    arguments: TrainingArguments
    """training.arguments, the fields that other settings set, those of `batch`, and our defaults for the device.

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
        return make_plan(self.config, self.device, self.rows, batch)


def make_plan(config: RunConfig, device: Device, rows: int, batch: BatchPlan | None = None) -> RunPlan:
    """Put settings and device together.

    Args:
        rows: Training rows.
        batch: Where it is not as the settings ask for.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the field of training.arguments.
    """
    given = check_arguments(config.training.arguments)
    batch = batch or BatchPlan.from_settings(config.training.batch_size, given)
    ours, bf16 = device_defaults(given, device), trains_in_bf16(given, device)
    defaults = {**_defaults(config, rows, batch), **ours, **batch.to_arguments()}
    arguments = _build_arguments(config, given, defaults, device, batch)
    _check_loading(arguments, rows, config.nodes * config.processes)
    return RunPlan(config, device, rows, batch, arguments, bf16)


def _build_arguments(
    config: RunConfig, given: dict[str, Any], defaults: dict[str, Any], device: Device, batch: BatchPlan
) -> TrainingArguments:
    asked = {**given, **{name: value for name, value in batch.to_arguments().items() if name in given}}
    elsewhere = device.gpu and not device.here
    if elsewhere:
        asked, defaults = _without_precision(asked), _without_precision(defaults)
    fixed = {**_owned_values(config), "use_cpu": elsewhere or not device.gpu}
    try:
        arguments = TrainingArguments(**named_as_here({**defaults, **asked, **fixed}))
    except Exception as error:  # it raises whatever its checks happen to meet
        raise _refused(_refused_argument(asked, {**defaults, **fixed}), error) from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else one process would train on all GPUs that it sees, by DataParallel
    return arguments


def _without_precision(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _PRECISION}


def _owned_values(config: RunConfig) -> dict[str, Any]:
    training, evaluation, checkpoints = config.training, config.evaluation, config.checkpoints
    return {
        "output_dir": "checkpoints",
        "num_train_epochs": training.epochs,
        "learning_rate": training.learning_rate,
        "seed": training.seed,
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


def _check_loading(arguments: TrainingArguments, rows: int, world_size: int) -> None:
    """What torch's data loader would refuse, perhaps only when the first evaluation begins."""
    if arguments.dataloader_persistent_workers and not arguments.dataloader_num_workers:
        raise bad_configuration(
            "training.arguments.dataloader_persistent_workers: there are no workers here that could stay",
            "set dataloader_num_workers as well, or leave both to the trainer",
        )
    batch = arguments.per_device_train_batch_size * world_size
    if arguments.dataloader_drop_last and rows < batch:
        raise bad_configuration(
            f"training.arguments.dataloader_drop_last: drops all of the {rows} rows, which do not fill a batch of {batch}",
            "lower training.batchSize, or leave it out",
        )


def _refused_argument(given: dict[str, Any], others: dict[str, Any]) -> str:
    """The argument without which the rest is accepted."""
    for name in given:
        try:
            rest = {key: value for key, value in given.items() if key != name}
            TrainingArguments(**named_as_here({**rest, **others}))
        except Exception:  # noqa: BLE001, S112 - as in _build_arguments
            continue
        return f"training.arguments.{name}"
    return "training.arguments"


def _refused(field: str, error: Exception) -> TrainerError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return bad_configuration(f"{field}: {text:.500}", "see transformers.TrainingArguments for what it takes")
