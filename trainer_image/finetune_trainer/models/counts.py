"""Bounds what a configuration counts before a model is built of it: each layer takes time, and each token memory, whether or not
there are weights for it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error
from finetune_trainer.models.model_files import fields_of
from finetune_trainer.models.weight_files import Tensors

_LAYERS = re.compile(r"(?!max_)(.*_)?layers?|n_layer|depth")
_MOST_LAYERS: Final = 10_000
"""Where no weights are known. So many are configured in no time, and built within minutes."""
_FEW_LAYERS: Final = 1_000
"""So many are built within seconds; models that share their weights may have more layers than weights."""
_MOST_TOKENS: Final = 10**9


def check_counts(config: Mapping[str, Any], source: str, tensors: Tensors | None = None) -> None:
    """A configuration counts no more layers and tokens than there are weights for.

    Args:
        config: What a config.json holds.
        tensors: Of the model's files; None where they are not known, or not yet.

    Raises:
        TrainerError: MODEL, naming the field.
    """
    layers = _MOST_LAYERS if tensors is None else max(_FEW_LAYERS, len(tensors))
    tokens = _MOST_TOKENS if tensors is None else max((tensor.numel() for tensor in tensors.values()), default=0)
    for field, value in fields_of(config):
        name = field.rpartition(".")[2]
        most = layers if _LAYERS.fullmatch(name) else tokens if name == "vocab_size" else None
        if most is not None and isinstance(value, int) and value > most:
            there = (
                ""
                if tensors is None
                else f", and its files hold {len(tensors)} weights, the largest of {tokens} numbers"
            )
            raise model_error(
                Reason.MODEL_CONFIG_WRONG,
                f"{source}: no model can be made of what its config.json says: {field} is {value}{there}",
                "correct that in config.json: it and the weights must be of the same model",
            )
