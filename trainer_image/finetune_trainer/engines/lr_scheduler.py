"""The learning rate of each step, for the engines that make it themselves."""

from typing import Any

from torch.optim import Optimizer
from transformers import SchedulerType, TrainingArguments, get_scheduler

from finetune_trainer.base.errors import bad_configuration


def make_lr_scheduler(optimizer: Optimizer, arguments: TrainingArguments, steps: int) -> Any:
    """Return the scheduler of lr_scheduler_type, as transformers' Trainer makes it, over `steps` optimizer steps.

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
