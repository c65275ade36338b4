"""The state of a training, copied to CPU memory so that it can be written while the training goes on.

A checkpoint holds the model as `save_pretrained` writes it, its tokenizer, and what only a resumed training needs, under
the names that transformers' Trainer gives these files.
"""

import copy
import io
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.trainer_pt_utils import safe_globals

from finetune_trainer.base.hardware import available_memory
from finetune_trainer.base.pinned_memory import bytes_of, kept_pinned_memory
from finetune_trainer.processes.exchange import gather
from finetune_trainer.storage.layout import random_state_file

logger = logging.getLogger(__name__)


Write: TypeAlias = Callable[[Path], None]
"""Writes the files of a checkpoint into an empty folder, the model as `save_pretrained` does."""


def _no_copy() -> Write | None:
    return None


@dataclass(frozen=True)
class Snapshot:
    """The state of a training after a step, before the next step changes it."""

    step: int
    epoch: float
    write: Write
    """Writes the state as it is now."""
    copy: Callable[[], Write | None] = _no_copy
    """Copies the state, and returns what writes the copy; None where there is no room for one: then `write` is used."""


@dataclass(frozen=True)
class TrainingState:
    """The content of a checkpoint. Its tensors may still be those that the training goes on to change."""

    model: PreTrainedModel | PeftModel
    """The model without what wraps it (DDP, compile); of a PEFT model only the adapter is written."""
    tokenizer: Tokenizer
    weights: Mapping[str, torch.Tensor]
    """Its state dict; gathered, where each process holds a part, as by `state_dicts.full_weights`."""
    objects: Mapping[str, Any]
    """What `torch.save` writes, by file name, such as `layout.OPTIMIZER`, `layout.SCHEDULER` and a `random_state_file`."""
    texts: Mapping[str, str]
    """What is written as text, by file name, such as `layout.TRAINER_STATE`."""
    use_cache: bool | None = None
    """The setting of the pretrained model: training switches it off. None leaves config.json as it is."""


def take_snapshot(step: int, epoch: float, state: TrainingState) -> Snapshot:
    """Return a snapshot whose copy is in CPU memory, or which is written at once where that has no room for a copy."""

    def make_copy() -> Write | None:
        needed, free = bytes_of((state.weights, state.objects)), available_memory()
        if free is not None and needed > free + kept_pinned_memory():
            logger.warning(
                "step %d: training waits for the checkpoint: a copy of it takes %.1f GiB of memory, %.1f GiB are free",
                step, needed / 2**30, free / 2**30,
            )  # fmt: skip
            return None
        weights, objects = copy_to_cpu((_weights_to_write(state), dict(state.objects)))
        copied = replace(state, weights=weights, objects=objects, texts=dict(state.texts))
        return partial(_write, copied, weights)

    return Snapshot(step, epoch, lambda folder: _write(state, _weights_to_write(state), folder), make_copy)


def weights_of(model: PreTrainedModel | PeftModel) -> dict[str, torch.Tensor]:
    """Return the state dict of an unwrapped model; of a PEFT model without the frozen weights, which no checkpoint holds."""
    weights: dict[str, torch.Tensor] = model.state_dict()
    if not isinstance(model, PeftModel):
        return weights
    frozen = {name for name, weight in model.named_parameters(remove_duplicate=False) if not weight.requires_grad}
    # A quantized weight has entries besides its own, such as `weight.absmax`.
    return {
        name: weight
        for name, weight in weights.items()
        if name not in frozen and name.partition("weight.")[0] + "weight" not in frozen
    }


def copy_to_cpu(state: Any) -> Any:
    """Copy nested dicts, lists and tuples so that no tensor shares memory with `state`.

    A tensor that is in `state` more than once, as tied weights are, is one in the copy too. From a GPU all are copied at
    once into pinned memory; values that are no tensors are not copied.
    """
    copies: dict[tuple[Any, ...], torch.Tensor] = {}
    copy = _copy_nested(state, copies)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return copy


def _copy_nested(value: Any, copies: dict[tuple[Any, ...], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in copies or not value.numel():
            copies[key] = _copy_tensor(value.detach())
        return copies[key]
    if isinstance(value, dict):
        return {key: _copy_nested(inner, copies) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy_nested(inner, copies) for inner in value]
    if type(value) is tuple:
        return tuple(_copy_nested(inner, copies) for inner in value)
    return value


def _copy_tensor(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type != "cuda":
        return tensor.to("cpu", copy=True)
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _weights_to_write(state: TrainingState) -> dict[str, torch.Tensor]:
    """Return the weights by their names in the file. Never beside a step: peft asks modules for their state, upon which
    FSDP shards them again at once."""
    if not isinstance(state.model, PeftModel):
        return dict(state.weights)
    # Else peft would ask the Hub at each save whether the vocabulary grew: what it trains never holds the embeddings.
    adapter: dict[str, torch.Tensor] = get_peft_model_state_dict(
        state.model, state_dict=dict(state.weights), save_embedding_layers=False
    )
    return adapter


def _write_adapter(model: PeftModel, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write what `PeftModel.save_pretrained` writes, without a look at the modules."""
    model.create_or_update_model_card(str(folder))
    contiguous = {name: weight.contiguous() for name, weight in weights.items()}
    save_file(contiguous, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    settings = copy.copy(model.active_peft_config)
    settings.inference_mode = True
    settings.save_pretrained(str(folder))


def _write(state: TrainingState, weights: dict[str, torch.Tensor], folder: Path) -> None:
    if isinstance(state.model, PeftModel):
        _write_adapter(state.model, weights, folder)
    else:
        state.model.save_pretrained(str(folder), state_dict=weights)
        restore_use_cache(folder, state.use_cache)
    state.tokenizer.save_pretrained(folder)
    for name, value in state.objects.items():
        torch.save(value, folder / name)
    for name, text in state.texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def restore_use_cache(folder: Path, value: bool | None) -> None:
    """Write `use_cache` into a model's config.json: without a cache, generation is many times slower."""
    path = folder / "config.json"
    if value is not None and path.is_file():
        config = json.loads(path.read_text(encoding="utf-8")) | {"use_cache": value}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def processes_of(folder: Path) -> int:
    """Return how many processes have made the checkpoint in `folder`."""
    return max(1, len(list(folder.glob("rng_state_*.pth"))))


def random_state(processes: int = 1) -> dict[str, Any]:
    """Return the state of this process's random number generators, as transformers' Trainer saves it."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state_all() if processes > 1 else torch.cuda.random.get_rng_state()
    return state


def gathered_random_states(processes: int) -> list[dict[str, Any]]:
    """Return the `random_state` of each process, by rank. All processes must call it at once."""
    own = io.BytesIO()
    torch.save(random_state(processes), own)
    with safe_globals():  # type: ignore[no-untyped-call]
        return [torch.load(io.BytesIO(content), weights_only=True) for content in gather(own.getvalue())]


def restore_random_state(folder: Path, rank: int = 0, processes: int = 1) -> None:
    """Restore the random state from a checkpoint. One that fewer processes made has none for this one."""
    path = folder / random_state_file(rank, processes)
    if not path.exists():
        logger.warning("%s has no random state for process %d of %d", folder.name, rank, processes)
        return
    with safe_globals():  # type: ignore[no-untyped-call]
        state = torch.load(path, weights_only=True)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        if processes > 1:
            # The machine that saved it may have had more GPUs than this one.
            torch.cuda.random.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
        else:
            torch.cuda.random.set_rng_state(state["cuda"])
