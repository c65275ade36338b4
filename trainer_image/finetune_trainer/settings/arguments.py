"""`training.arguments`: any field of transformers.TrainingArguments that nothing else sets, checked by its type."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from transformers import TrainingArguments

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.text import did_you_mean

_EVALUATION = "evaluation.strategy and evaluation.steps"
_CHECKPOINTS = "checkpoints.strategy, checkpoints.steps and checkpoints.keep"
_BEST = "evaluation.bestMetric"
_REPORTS = "nothing: the operator gets the reports"
_HUB = "output.uri: the model is written there and nowhere else"
_PROCESSES = "resources.gpus, resources.nodes and training.parallelism"
_DATA = "dataset and preprocessing"

OWNED: dict[str, str] = {
    "output_dir": "output.uri",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.batchSize",
    "auto_find_batch_size": "training.batchSize",
    "learning_rate": "training.learningRate",
    "seed": "training.seed",
    "use_cpu": "resources.gpus (gpus on a laptop)",
    **dict.fromkeys(("do_train", "do_predict"), "nothing: a run always trains"),
    **dict.fromkeys(("do_eval", "eval_strategy", "eval_steps", "eval_delay", "eval_on_start"), _EVALUATION),
    **dict.fromkeys(
        ("prediction_loss_only", "batch_eval_metrics", "include_for_metrics", "eval_do_concat_batches",
         "eval_use_gather_object"), "evaluation.metrics",
    ),
    **dict.fromkeys(
        ("save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node",
         "enable_jit_checkpoint", "resume_from_checkpoint", "ignore_data_skip",
         "restore_callback_states_from_checkpoint"), _CHECKPOINTS,
    ),
    **dict.fromkeys(("load_best_model_at_end", "metric_for_best_model", "greater_is_better"), _BEST),
    **dict.fromkeys(
        ("report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id",
         "disable_tqdm", "log_on_each_node"), _REPORTS,
    ),
    **dict.fromkeys(
        ("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push",
         "hub_revision"), _HUB,
    ),
    **dict.fromkeys(
        ("local_rank", "ddp_backend", "ddp_timeout", "fsdp", "fsdp_config", "deepspeed", "parallelism_config"),
        _PROCESSES,
    ),
    **dict.fromkeys(("remove_unused_columns", "label_names", "length_column_name"), _DATA),
    "logging_nan_inf_filter": "nothing: a loss that is not finite always ends the run",
}  # fmt: skip
"""Fields that we set ourselves, and what a user sets instead."""

_BOUNDS: dict[str, Any] = {
    **dict.fromkeys(
        ("dataloader_prefetch_factor", "eval_accumulation_steps", "gradient_accumulation_steps", "max_steps",
         "per_device_eval_batch_size"), Field(ge=1),
    ),
    **dict.fromkeys(("adam_epsilon", "dataloader_num_workers", "weight_decay"), Field(ge=0)),
    **dict.fromkeys(("adam_beta1", "adam_beta2"), Field(ge=0, lt=1)),
    "logging_steps": Field(gt=0),
}  # fmt: skip
"""What TrainingArguments leaves unchecked, so that it would only come up in the middle of a run."""
OLD_NAMES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Aliases that TrainingArguments still takes; whatever looks at arguments shall know one name."""
STEERED_BY_EVALUATION = ("reduce_lr_on_plateau", "greedy")
"""Schedules whose learning rate follows the evaluations."""


def check_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with values of the types that TrainingArguments declares, by the names of transformers 5.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the argument.
    """
    fields = _fields()
    free = [name for name in fields if name not in OWNED]
    checked = {}
    for name, value in arguments.items():
        if name in OWNED:
            raise bad_configuration(
                f"training.arguments.{name}: is set by the operator",
                f"it follows from {OWNED[name]}",
                Reason.ARGUMENT_OWNED,
            )
        if name not in fields:
            raise bad_configuration(
                f"training.arguments.{name}: transformers.TrainingArguments has no such field{did_you_mean(name, free)}",
                "the names are those of transformers 5: eval_strategy, warmup_steps, train_sampling_strategy, …",
                Reason.UNKNOWN_ARGUMENT,
            )
        try:
            checked[OLD_NAMES.get(name, name)] = _type_of(fields[name]).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Input ")
            raise bad_configuration(f"training.arguments.{name}: {problem}, not {value!r:.80}") from error
    return checked


def _fields() -> dict[str, "dataclasses.Field[Any]"]:
    """Those of TrainingArguments, by the names of today too."""
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    return {new: fields[old] for old, new in OLD_NAMES.items() if old in fields} | fields


def _type_of(field: "dataclasses.Field[Any]") -> TypeAdapter[Any]:
    """What a field of TrainingArguments takes: its type, of those in its `choices` where it has some."""
    kind = typing.get_type_hints(TrainingArguments)[field.name]
    if choices := field.metadata.get("choices"):
        kind = Literal[*choices, None] if type(None) in typing.get_args(kind) else Literal[*choices]
    if field.name in _BOUNDS:
        kind = Annotated[kind, _BOUNDS[field.name]]
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
