"""Checks the settings before anything is read."""

from typing import Any

from finetune_api.run import RunConfig
from finetune_trainer.engines.check import check_engine
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.gpus import choose_cpu
from finetune_trainer.settings.requirements import check_quantization, check_requirements
from finetune_trainer.tracking.registry import check_trackers


def check_settings(config: RunConfig, *, here: bool = True, assume_engine: bool = False) -> tuple[dict[str, Any], bool]:
    """Check what can be checked before anything is read.

    Args:
        here: Whether the run is on this machine; else GPUs that are asked for are taken as given.
        assume_engine: An engine that is not installed here is taken as given.

    Returns:
        training.arguments, as `check_arguments` returns them, and whether to train on the CPU.

    Raises:
        TrainerError: BAD_CONFIGURATION or DEVICE.
    """
    arguments = check_arguments(config.training.arguments)
    use_cpu = choose_cpu(config.gpus) if here or not config.gpus else False
    check_engine(config, arguments, use_cpu, assume_installed=assume_engine)
    training, processes = config.training, config.nodes * config.processes
    check_quantization(training.lora, spread=training.parallelism == "fsdp" and processes > 1)
    check_requirements(arguments, training.learning_rate, use_cpu)
    check_trackers(config.tracking)
    return arguments, use_cpu
