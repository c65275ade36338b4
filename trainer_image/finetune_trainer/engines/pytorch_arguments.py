"""The part of `training.arguments` that the engine `pytorch` honours."""

from typing import Any

from torch.optim import Optimizer
from transformers import SchedulerType, TrainingArguments, get_scheduler

from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.settings.arguments import STEERED_BY_EVALUATION

HONOURED = (
    "activation_checkpointing", "adam_beta1", "adam_beta2", "adam_epsilon", "bf16", "data_seed",
    "dataloader_num_workers", "dataloader_persistent_workers", "dataloader_pin_memory", "dataloader_prefetch_factor",
    "fp16", "full_determinism", "gradient_accumulation_steps", "logging_steps", "lr_scheduler_kwargs",
    "lr_scheduler_type", "max_grad_norm", "optim", "per_device_eval_batch_size", "tf32", "train_sampling_strategy",
    "warmup_steps", "weight_decay",
)  # fmt: skip
CHOICES = {
    "optim": ("adamw_torch", "adamw_torch_fused"),
    "train_sampling_strategy": ("random", "group_by_length"),
    "lr_scheduler_type": tuple(kind.value for kind in SchedulerType if kind.value not in STEERED_BY_EVALUATION),
}


def make_schedule(optimizer: Optimizer, arguments: TrainingArguments, steps: int) -> Any:
    """The learning rate over `steps` optimizer steps.

    Raises:
        TrainerError: BAD_CONFIGURATION when lr_scheduler_type and lr_scheduler_kwargs do not go together.
    """
    options: Any = arguments.lr_scheduler_kwargs
    try:
        return get_scheduler(arguments.lr_scheduler_type, optimizer, arguments.get_warmup_steps(steps), steps, options)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        kind = SchedulerType(arguments.lr_scheduler_type).value
        raise bad_configuration(
            f"training.arguments.lr_scheduler_type: '{kind}' is not possible: {error}",
            "change lr_scheduler_type or lr_scheduler_kwargs",
        ) from error
