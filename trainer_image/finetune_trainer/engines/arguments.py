"""`training.arguments`: any field of transformers.TrainingArguments that nothing else sets."""

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from finetune_api.run import RunConfig
from finetune_trainer.engines.speed import device_at_hand, speed_defaults
from finetune_trainer.failures import TrainerError, bad_configuration, did_you_mean

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


def build_arguments(config: RunConfig, scratch: Path, rows: int, use_cpu: bool) -> TrainingArguments:
    """The arguments for transformers' Trainer.

    Args:
        scratch: Where the Trainer writes checkpoints before they are published.
        rows: Number of training rows.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the field of training.arguments.
    """
    given = check_arguments(config.training.arguments)
    fixed = _owned_values(config, scratch, use_cpu)
    defaults = {
        **_defaults(config, given, rows),
        **speed_defaults(given, device_at_hand(use_cpu, config.processes)),
    }
    try:
        arguments = TrainingArguments(**{**defaults, **given, **fixed})
    except Exception as error:  # it raises whatever its checks happen to meet
        culprit = _culprit(given, {**defaults, **fixed})
        raise _refused(culprit, error) from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else one process would train on all GPUs that it sees, by DataParallel
    return arguments


def check_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with values of the types that TrainingArguments declares."""
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    free = [name for name in fields if name not in OWNED]
    types = typing.get_type_hints(TrainingArguments)
    checked = {}
    for name, value in arguments.items():
        if name in OWNED:
            raise bad_configuration(
                f"training.arguments.{name}: is set by the operator", f"it follows from {OWNED[name]}", "ArgumentOwned"
            )
        if name not in fields:
            raise bad_configuration(
                f"training.arguments.{name}: transformers.TrainingArguments has no such field{did_you_mean(name, free)}",
                "the names are those of transformers 5: eval_strategy, warmup_steps, train_sampling_strategy, …",
                "UnknownArgument",
            )
        try:
            checked[name] = TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
                value
            )
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Input ")
            raise bad_configuration(f"training.arguments.{name}: {problem}, not {value!r:.80}") from error
    return checked


def _owned_values(config: RunConfig, scratch: Path, use_cpu: bool) -> dict[str, Any]:
    training, evaluation, checkpoints = config.training, config.evaluation, config.checkpoints
    return {
        "output_dir": str(scratch),
        "num_train_epochs": training.epochs,
        "per_device_train_batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "seed": training.seed,
        "use_cpu": use_cpu,
        "eval_strategy": evaluation.strategy if config.dataset.evaluation else "no",
        "eval_steps": evaluation.steps,
        "save_strategy": checkpoints.strategy,
        "save_steps": checkpoints.steps or 500,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "include_for_metrics": ["loss"],
        "fsdp": True if training.parallelism == "fsdp" and config.nodes * config.processes > 1 else None,
    }


def _defaults(config: RunConfig, given: dict[str, Any], rows: int) -> dict[str, Any]:
    """What we choose where the user says nothing: about fifty logs a run at most ten steps apart, little padding."""
    accumulation = max(1, int(given.get("gradient_accumulation_steps") or 1))
    batch = config.training.batch_size * accumulation * config.nodes * config.processes
    steps = math.ceil(rows / batch) * config.training.epochs
    return {
        "logging_steps": int(min(10, max(1, steps // 50))),
        "per_device_eval_batch_size": config.training.batch_size,
        "train_sampling_strategy": "group_by_length" if config.preprocessing.padding == "longest" else "random",
    }


def _culprit(given: dict[str, Any], others: dict[str, Any]) -> str:
    """The argument without which the rest is accepted."""
    for name in given:
        try:
            TrainingArguments(**{**{key: value for key, value in given.items() if key != name}, **others})
        except Exception:  # noqa: BLE001, S112 - as in build_arguments
            continue
        return f"training.arguments.{name}"
    return "training.arguments"


def _refused(field: str, error: Exception) -> TrainerError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return bad_configuration(f"{field}: {text:.500}", "see transformers.TrainingArguments for what it takes")
