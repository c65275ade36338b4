"""TrainingArguments, put together of what the user sets, what the operator sets, and our defaults."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments

from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.settings.arguments import OLD_NAMES

_PRECISION = ("bf16", "bf16_full_eval", "fp16", "fp16_full_eval", "tf32")
"""Fields of TrainingArguments that it checks against the device of this machine."""
_FORMER_NAMES = {new: old for old, new in OLD_NAMES.items()}
"""The only names in transformers before 5.23, which an image of one's own may have."""


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
