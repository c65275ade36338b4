"""What can be told of a run before anything is read."""

from finetune_api.run import RunConfig
from finetune_trainer.engines import pytorch_arguments
from finetune_trainer.engines.keras import arguments as keras_arguments
from finetune_trainer.engines.keras.arguments import check_keras
from finetune_trainer.models.lora import check_lora
from finetune_trainer.run.load import choose_device
from finetune_trainer.settings.arguments import check_arguments, check_honoured
from finetune_trainer.settings.requirements import check_requirements


def check_settings(config: RunConfig, *, here: bool = True) -> bool:
    """What can be told before anything is read. Returns whether to train on the CPU.

    Args:
        here: Whether the run is on this machine; else GPUs that are asked for are taken as given.

    Raises:
        TrainerError: BAD_CONFIGURATION or DEVICE.
    """
    arguments = check_arguments(config.training.arguments)
    check_lora(config)
    use_cpu = choose_device(config.gpus) if here or not config.gpus else False
    match config.training.engine:
        case "keras":
            check_honoured(arguments, "keras", keras_arguments.HONOURED, keras_arguments.CHOICES)
            check_keras(config, use_cpu)
        case "pytorch":
            check_honoured(arguments, "pytorch", pytorch_arguments.HONOURED, pytorch_arguments.CHOICES)
    check_requirements(arguments, config.training.learning_rate, use_cpu)
    return use_cpu
