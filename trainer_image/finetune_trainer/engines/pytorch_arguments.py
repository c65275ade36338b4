"""What the engine `pytorch` supports of `training.arguments`."""

from transformers import SchedulerType

from finetune_trainer.engines.supported_arguments import SupportedArguments
from finetune_trainer.settings.arguments import STEERED_BY_EVALUATION

SUPPORTED = SupportedArguments(
    names=(
        "activation_checkpointing", "adam_beta1", "adam_beta2", "adam_epsilon", "bf16", "data_seed",
        "dataloader_num_workers", "dataloader_persistent_workers", "dataloader_pin_memory", "dataloader_prefetch_factor",
        "fp16", "full_determinism", "gradient_accumulation_steps", "logging_steps", "lr_scheduler_kwargs",
        "lr_scheduler_type", "max_grad_norm", "optim", "per_device_eval_batch_size", "tf32", "train_sampling_strategy",
        "warmup_steps", "weight_decay",
    ),
    choices={
        "optim": ("adamw_torch", "adamw_torch_fused"),
        "train_sampling_strategy": ("random", "group_by_length"),
        "lr_scheduler_type": tuple(kind.value for kind in SchedulerType if kind.value not in STEERED_BY_EVALUATION),
    },
)  # fmt: skip
