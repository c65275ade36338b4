"""Weights that are there, and not as `from_pretrained` reads them: what they are, and how they become it."""

import re
from collections.abc import Iterable
from typing import Any

import torch

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed

_AS_USUAL = "model.source must hold weights as save_pretrained writes them"
_OF_TRAINING = re.compile(r"(optimizer|scheduler|scaler|rng_state|random_states|training_args)")
"""Begins the names of what a training goes on from, besides the model."""
_FORMATS = (
    (
        r"model-\d+-of-\d+\.safetensors",
        "copy model.safetensors.index.json too, which says which file holds which weight",
    ),
    (
        r"pytorch_model-\d+-of-\d+\.bin",
        "copy pytorch_model.bin.index.json too, which says which file holds which weight",
    ),
    (r"adapter_model\.(safetensors|bin)", "an adapter has its adapter_config.json beside it: copy that too"),
    (r"zero_to_fp32\.py|global_step\d+", "DeepSpeed has left its own: python zero_to_fp32.py . . --safe_serialization"),
    (r"pytorch_model_fsdp.*|.*\.distcp|\.metadata", "FSDP has left its own: accelerate merge-weights FOLDER OUTPUT"),
    (
        r"consolidated.*|params\.json",
        "these are its author's own: take the model's version for transformers, or convert it",
    ),
    (r".*\.gguf", "GGUF is for inference: use the model that it was made from"),
    (r"tf_model\.h5|flax_model\.msgpack", "TensorFlow's and Flax' are not read: save them for torch by transformers 4"),
    (r".*\.safetensors", "weights are looked for by name: call the file model.safetensors"),
    (
        r".*\.(bin|pt|pth|ckpt)",
        "weights are looked for by name: call the file pytorch_model.bin, if it is a state_dict",
    ),
)
"""What a folder holds in place of weights by the usual names, and what to do then. The first that fits counts."""


def no_weights(source: str, names: Iterable[str], known: tuple[str, ...]) -> TrainerError:
    """The failure of a folder or repository with these files, of which none is one of those that are known."""
    there = sorted(name for name in names if not _OF_TRAINING.match(name))
    for pattern, remedy in _FORMATS:
        if found := [name for name in there if re.fullmatch(pattern, name)]:
            return model_error(
                Reason.WEIGHTS_MISSING, f"{source} has none of {', '.join(known)}, but {listed(found, 3)}", remedy
            )
    return model_error(Reason.WEIGHTS_MISSING, f"{source} has none of {', '.join(known)}", _AS_USUAL)


def check_pickled(held: Any, file: str, source: str) -> dict[str, torch.Tensor]:
    """What torch.load has read is weights by their names; anything beside them is left out.

    Raises:
        TrainerError: MODEL, with what it is.
    """
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise _no_state_dict(source, file, f"it holds a {type(held).__name__}, and no weights by their names")
    tensors = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    if sparse := [name for name, tensor in tensors.items() if tensor.layout != torch.strided]:
        raise _no_state_dict(source, file, f"{listed(sparse, 2)} is sparse")
    if not tensors:
        within = [name for name, value in held.items() if isinstance(value, dict) and _has_tensors(value)]
        raise _no_state_dict(source, file, f"the weights are within its {within[0]!r}" if within else "it holds none")
    return tensors


def other_objects(source: str, file: str, why: str) -> TrainerError:
    """The failure of a pickle that holds more than tensors, by what torch said."""
    named = re.search(r"GLOBAL ([\w.]+)", why)
    return _no_state_dict(
        source,
        file,
        f"it holds objects ({named[1] if named else 'no tensors'}), for which code of the file would be run",
    )


def _has_tensors(values: dict[Any, Any]) -> bool:
    return any(isinstance(value, torch.Tensor) for value in values.values())


def _no_state_dict(source: str, file: str, what: str) -> TrainerError:
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source} cannot be loaded: {file} holds no weights that can be read: {what}",
        "load it where it was made, and save the model itself: model.save_pretrained(FOLDER), or "
        "torch.save(model.state_dict(), FILE)",
    )
