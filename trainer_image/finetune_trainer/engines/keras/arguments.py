"""What can be told of a run by the engine `keras` before anything is loaded. Keras itself is not needed here."""

import os
from importlib.util import find_spec

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration

HONOURED = (
    "adam_beta1", "adam_beta2", "adam_epsilon", "bf16", "data_seed", "gradient_accumulation_steps", "logging_steps",
    "lr_scheduler_kwargs", "lr_scheduler_type", "max_grad_norm", "per_device_eval_batch_size", "tf32",
    "train_sampling_strategy", "warmup_steps", "weight_decay",
)  # fmt: skip
"""Fields of training.arguments that mean the same to this engine as to transformers' Trainer."""
CHOICES = {"train_sampling_strategy": ("random", "group_by_length")}


def check_keras(config: RunConfig, use_cpu: bool) -> None:
    """Keras is installed, and can do what is asked. Must come before Keras is imported, which takes its backend then.

    Raises:
        TrainerError: BAD_CONFIGURATION, with the remedy.
    """
    if config.nodes * config.processes > 1:
        raise bad_configuration(
            f"training.engine: keras trains on one device, not on {config.nodes * config.processes}",
            "use engine 'trainer' or 'pytorch', or one GPU on one node",
        )
    if not (find_spec("keras") and find_spec("keras_hub")):
        raise bad_configuration(
            "training.engine: keras and keras-hub are not installed",
            "install finetune-operator[trainer,keras], or build the trainer's image with --build-arg EXTRAS=trainer,keras",
            "KerasNotInstalled",
        )
    os.environ["KERAS_BACKEND"] = "torch"
    # KerasHub imports TensorFlow, which trains nothing here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if use_cpu:
        os.environ["KERAS_TORCH_DEVICE"] = "cpu"
