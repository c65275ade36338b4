"""Bounds the numbers of a configuration before a model is built of it: each layer takes time, and each token memory, whether or not
there are weights for it, and of a probability some models ask only as they are trained."""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.models.model_files import fields_of
from finetune_trainer.models.weight_files import Tensors

_LAYERS = re.compile(
    r"(?!max_)(.*_)?layers?|n_layer|inner_group_num|num_hidden_groups|num_feedforward_networks|num_hash_functions"
)
"""And what else is built as often as it says."""
_PARTS = re.compile(r"block_sizes|(num_)?block_repeats|depths?|blocks_per_stage|(.*_)?n(um)?_(.*_)?(blocks|experts)")
"""So are these, which may be lists, of how many there are in each part; lists of other fields say which layers."""
_MOST_LAYERS: Final = 10_000
"""Where no weights are known. So many are configured in no time, and built within minutes."""
_FEW_LAYERS: Final = 1_000
"""So many are built within seconds; models that share their weights may have more layers than weights."""
_EXPERTS = re.compile(r"(.*_)?n(um)?_(.*_)?experts")
_MOST_EXPERTS: Final = 1_000_000
"""Where no weights are known: Doge has 16,384, as rows of one weight, and a million was tried elsewhere."""
_MOST_TOKENS: Final = 10**9

_PROBABILITY = re.compile(r".*(dropout|pdrop|layerdrop|drop_rate).*")


def check_bounds(config: Mapping[str, Any], source: str, tensors: Tensors | None = None) -> None:
    """A configuration counts no more layers and tokens than there are weights for, and probabilities are from 0 to 1.

    Args:
        config: What a config.json holds.
        tensors: Of the model's files; None, or without any, where they are not known, or not yet.

    Raises:
        TrainerError: MODEL, naming the field.
    """
    layers, experts, tokens, why = _MOST_LAYERS, _MOST_EXPERTS, _MOST_TOKENS, None
    if tensors:
        layers, tokens = max(_FEW_LAYERS, len(tensors)), max(tensor.numel() for tensor in tensors.values())
        experts = max([layers, *(size for tensor in tensors.values() for size in tensor.shape)])
        why = f"its files hold {len(tensors)} weights, the largest of {tokens} numbers"
    for field, value in fields_of(config):
        name = field.rpartition(".")[2]
        if _PROBABILITY.fullmatch(name) and isinstance(value, int | float) and not 0 <= value <= 1:
            raise _wrong(source, f"{field} is {value}, and no probability", "write one from 0 to 1 there")
        most = tokens if name == "vocab_size" else experts if _EXPERTS.fullmatch(name) else layers
        if _counted(name, value) > most:
            remedy = "correct that in config.json: it and the weights must be of the same model"
            raise _wrong(source, f"{field} is {value!s:.100}, and {why or f'no more than {most} are built'}", remedy)


def _counted(name: str, value: Any) -> int:
    """How many layers or tokens a field asks for; 0 of any other field."""
    if isinstance(value, list):
        return sum(max(0, each) for each in value if isinstance(each, int)) if _PARTS.fullmatch(name) else 0
    counts = name == "vocab_size" or _LAYERS.fullmatch(name) or _PARTS.fullmatch(name)
    return value if counts and isinstance(value, int) else 0


def _wrong(source: str, told: str, hint: str) -> TrainerError:
    return model_error(
        Reason.MODEL_CONFIG_WRONG, f"{source}: no model can be made of what its config.json says: {told}", hint
    )
