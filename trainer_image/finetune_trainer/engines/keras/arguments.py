"""What the engine `keras` supports, and whether it is installed. Keras itself is not needed here."""

import os
from importlib.util import find_spec

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.engines.supported_arguments import SupportedArguments

SUPPORTED = SupportedArguments(
    names=(
        "adam_beta1", "adam_beta2", "adam_epsilon", "bf16", "data_seed", "gradient_accumulation_steps", "logging_steps",
        "lr_scheduler_kwargs", "lr_scheduler_type", "max_grad_norm", "per_device_eval_batch_size", "tf32",
        "train_sampling_strategy", "warmup_steps", "weight_decay",
    ),
    choices={"train_sampling_strategy": ("random", "group_by_length")},
)  # fmt: skip


def check_keras(use_cpu: bool) -> None:
    """Check that Keras is installed, and set its backend and device. Keras reads them when it is imported.

    Raises:
        TrainerError: BAD_CONFIGURATION, with the remedy.
    """
    if not (find_spec("keras") and find_spec("keras_hub")):
        raise bad_configuration(
            "training.engine: keras and keras-hub are not installed",
            "install finetune-operator[trainer,keras], or build the trainer's image with --build-arg EXTRAS=trainer,keras",
            Reason.KERAS_NOT_INSTALLED,
        )
    os.environ["KERAS_BACKEND"] = "torch"
    # KerasHub imports TensorFlow, which trains nothing here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if use_cpu:
        os.environ["KERAS_TORCH_DEVICE"] = "cpu"
