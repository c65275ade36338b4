"""Warns of what is counted in steps and does not fit into the run."""

from transformers import SchedulerType, TrainingArguments

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.settings.arguments import STEERED_BY_EVALUATION

_WITHOUT_WARMUP = ("constant", *STEERED_BY_EVALUATION)


def warn_of_odd_steps(config: RunConfig, arguments: TrainingArguments, total_steps: int) -> None:
    """Warn of what is counted in steps and does not fit into a run of `total_steps`."""
    warmup = arguments.warmup_steps
    if warmup >= max(1, total_steps) and SchedulerType(arguments.lr_scheduler_type).value not in _WITHOUT_WARMUP:
        warn(
            Reason.WARMUP_LONGER_THAN_RUN,
            f"training.arguments.warmup_steps: the learning rate rises over {warmup:g} steps, and the run has {total_steps}: "
            f"it never comes to {config.training.learning_rate:g}; lower it, or give a share of the run, such as 0.1",
        )
    evaluation, checkpoints = config.evaluation, config.checkpoints
    if config.dataset.evaluation and evaluation.steps and evaluation.steps > total_steps:
        warn(
            Reason.STEPS_BEYOND_END,
            f"evaluation.steps: {evaluation.steps} is more than the {total_steps} steps of the run, which is evaluated at its "
            "end alone",
        )
    if checkpoints.steps and checkpoints.steps > total_steps:
        warn(
            Reason.STEPS_BEYOND_END,
            f"checkpoints.steps: {checkpoints.steps} is more than the {total_steps} steps of the run, which is saved at its "
            "end alone: what is killed before starts over",
        )
