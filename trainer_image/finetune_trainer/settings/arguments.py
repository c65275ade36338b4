"""`training.arguments`: any field of transformers.TrainingArguments that nothing else sets."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from transformers import TrainingArguments

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, bad_configuration
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
_PRECISION = ("bf16", "bf16_full_eval", "fp16", "fp16_full_eval", "tf32")
"""Fields of TrainingArguments that it checks against the device of this machine."""
_OLD_NAMES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Aliases that TrainingArguments still takes; whatever looks at arguments shall know one name."""
_FORMER_NAMES = {new: old for old, new in _OLD_NAMES.items()}
"""The only names in transformers before 5.23, which an image of one's own may have."""
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
            checked[_OLD_NAMES.get(name, name)] = _type_of(fields[name]).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Input ")
            raise bad_configuration(f"training.arguments.{name}: {problem}, not {value!r:.80}") from error
    return checked


def _fields() -> dict[str, "dataclasses.Field[Any]"]:
    """Those of TrainingArguments, by the names of today too."""
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    return {new: fields[old] for old, new in _OLD_NAMES.items() if old in fields} | fields


def name_here(name: str) -> str:
    """The name that the transformers at hand has for an argument, and for the method of a model that goes with it."""
    return name if name in TrainingArguments.__dataclass_fields__ else _FORMER_NAMES.get(name, name)


def named_as_here(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names that the transformers at hand has for them."""
    return {name_here(name): value for name, value in arguments.items()}


def build_arguments(
    asked: Mapping[str, Any], defaults: Mapping[str, Any], owned: Mapping[str, Any], elsewhere: bool = False
) -> TrainingArguments:
    """Put TrainingArguments together.

    Args:
        asked: What the user sets.
        defaults: What is chosen where the user sets nothing.
        owned: Fields that the user cannot set.
        elsewhere: Whether they are for a GPU of another machine: then its precision is left out.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the argument that is refused.
    """
    if elsewhere:
        asked, defaults = (
            {name: value for name, value in each.items() if name not in _PRECISION} for each in (asked, defaults)
        )
    try:
        arguments = TrainingArguments(**named_as_here({**defaults, **asked, **owned}))
    except Exception as error:  # it raises whatever its checks happen to meet
        raise _refused(_refused_argument(asked, {**defaults, **owned}), error) from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else one process would train on all GPUs that it sees, by DataParallel
    return arguments


def check_loading(arguments: TrainingArguments, rows: int, world_size: int) -> None:
    """Check for what torch's data loader would refuse, perhaps only when the first evaluation begins.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the argument.
    """
    if arguments.dataloader_persistent_workers and not arguments.dataloader_num_workers:
        raise bad_configuration(
            "training.arguments.dataloader_persistent_workers: there are no workers here that could stay",
            "set dataloader_num_workers as well, or leave both to the trainer",
        )
    batch = arguments.per_device_train_batch_size * world_size
    if arguments.dataloader_drop_last and rows < batch:
        raise bad_configuration(
            f"training.arguments.dataloader_drop_last: drops all of the {rows} rows, which do not fill a batch of {batch}",
            "lower training.batchSize, or leave it out",
        )


def _refused_argument(given: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """The argument without which the rest is accepted."""
    for name in given:
        try:
            rest = {key: value for key, value in given.items() if key != name}
            TrainingArguments(**named_as_here({**rest, **others}))
        except Exception:  # noqa: BLE001, S112 - as in build_arguments
            continue
        return f"training.arguments.{name}"
    return "training.arguments"


def _refused(field: str, error: Exception) -> TrainerError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return bad_configuration(f"{field}: {text:.500}", "see transformers.TrainingArguments for what it takes")


def _type_of(field: "dataclasses.Field[Any]") -> TypeAdapter[Any]:
    """What a field of TrainingArguments takes: its type, of those in its `choices` where it has some."""
    kind = typing.get_type_hints(TrainingArguments)[field.name]
    if choices := field.metadata.get("choices"):
        kind = Literal[*choices, None] if type(None) in typing.get_args(kind) else Literal[*choices]
    if field.name in _BOUNDS:
        kind = Annotated[kind, _BOUNDS[field.name]]
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
