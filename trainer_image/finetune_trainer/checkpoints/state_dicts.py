"""Full state dicts of model and optimizer, which may be sharded over processes.

A checkpoint looks the same whether one process made it or several, each with a part of the model (FSDP): so either can
go on from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from finetune_trainer.checkpoints.snapshot import weights_of
from finetune_trainer.processes.fsdp import is_sharded

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_RANK_0 = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def load_weights(model: Any, folder: Path) -> None:
    """Load the weights of a checkpoint into a model that nothing wraps yet."""
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
        return
    unknown: list[str] = []
    for path in sorted(folder.glob("model*.safetensors")):
        unknown += model.load_state_dict(load_file(path), strict=False).unexpected_keys  # tied weights are saved once
    if unknown:
        # Some architectures hold their weights otherwise than their files do; from_pretrained knows how.
        fresh = type(model).from_pretrained(folder, config=model.config, dtype=model.dtype)
        model.load_state_dict(fresh.state_dict())


def full_weights(model: Any) -> Mapping[str, torch.Tensor]:
    """Return the weights that a checkpoint holds, on the process of rank 0. All processes must call it at once."""
    if not is_sharded(model):
        return weights_of(model)
    _reshard(model)
    whole: Mapping[str, Any] = get_model_state_dict(model, options=_FULL)
    kept = weights_of(model).keys()
    return {name: weight for name, weight in whole.items() if name in kept}


def full_optimizer_state(model: Any, optimizer: torch.optim.Optimizer) -> Any:
    """Return `optimizer.state_dict()` of the whole model, on the process of rank 0. All processes must call it at once."""
    if not is_sharded(model):
        return optimizer.state_dict()
    _reshard(model)
    named = get_optimizer_state_dict(model, optimizer, options=_FULL)
    return _numbered(named) if named else {}


def load_optimizer_state(model: Any, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Load what `full_optimizer_state` returned and `torch.save` wrote to `path`."""
    if not is_sharded(model):
        optimizer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return
    # Only that of rank 0 counts. Mapped, since all processes of a machine together have no memory for it whole.
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    set_optimizer_state_dict(model, optimizer, _named(state, order), options=_FROM_RANK_0)


def _reshard(model: torch.nn.Module) -> None:
    """Shard again what a forward pass without a backward one left unsharded: the optimizer does not know it."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _numbered(state: Any) -> dict[str, Any]:
    """Return an optimizer's state with parameters by number, as in `Optimizer.state_dict`, instead of by name."""
    numbers: dict[str, int] = {}
    groups = []
    for group in state["param_groups"]:
        for name in group["params"]:
            numbers[name] = len(numbers)
        groups.append({**group, "params": [numbers[name] for name in group["params"]]})
    return {"state": {numbers[name]: entry for name, entry in state["state"].items()}, "param_groups": groups}


def _named(state: Any, order: list[str]) -> dict[str, Any]:
    """Return the inverse of `_numbered`; `order` has the names of the optimizer's parameters."""
    return {
        "state": {order[number]: entry for number, entry in state["state"].items()},
        "param_groups": [
            {**group, "params": [order[number] for number in group["params"]]} for group in state["param_groups"]
        ],
    }
