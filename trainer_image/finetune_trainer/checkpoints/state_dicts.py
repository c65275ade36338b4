"""Weights and optimizer, whole, from and to what may be spread over processes.

A checkpoint looks the same whether one process made it or several, each with a part of the model (FSDP): so either can
go on from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin, PartialState
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.checkpoints.snapshot import weights_of

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def load_weights(model: Any, folder: Path) -> None:
    """Take the weights of a checkpoint into a model that nothing wraps yet."""
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


def is_sharded(model: object) -> bool:
    """Whether each process holds a part of the model (FSDP)."""
    return isinstance(model, FSDPModule)


def whole_weights(model: Any) -> Mapping[str, torch.Tensor]:
    """The weights that a checkpoint holds, on the process of rank 0. All processes must call it at once."""
    if not is_sharded(model):
        return weights_of(model)
    _reshard(model)
    whole: Mapping[str, Any] = get_model_state_dict(model, options=_WHOLE)
    kept = weights_of(model).keys()
    return {name: weight for name, weight in whole.items() if name in kept}


def whole_optimizer(model: Any, optimizer: torch.optim.Optimizer) -> Any:
    """`optimizer.state_dict()` of the whole model, on the process of rank 0. All processes must call it at once."""
    if not is_sharded(model):
        return optimizer.state_dict()
    _reshard(model)
    named = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    return _numbered(named) if named else {}


def load_optimizer(model: Any, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Go on with what `whole_optimizer` gave and `torch.save` wrote to `path`."""
    if not is_sharded(model):
        optimizer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return
    # Only that of rank 0 counts. Mapped, since all processes of a machine together have no memory for it whole.
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    set_optimizer_state_dict(model, optimizer, _named(state, order), options=_FROM_FIRST)


def _reshard(model: torch.nn.Module) -> None:
    """After a forward pass without a backward one some weights stand whole in the model, unknown to the optimizer."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _numbered(state: Any) -> dict[str, Any]:
    """An optimizer's state with parameters by their number, as in `Optimizer.state_dict`, and no more by name."""
    numbers: dict[str, int] = {}
    groups = []
    for group in state["param_groups"]:
        for name in group["params"]:
            numbers[name] = len(numbers)
        groups.append({**group, "params": [numbers[name] for name in group["params"]]})
    return {"state": {numbers[name]: entry for name, entry in state["state"].items()}, "param_groups": groups}


def _named(state: Any, order: list[str]) -> dict[str, Any]:
    """The inverse of `_numbered`; `order` has the names of the optimizer's parameters."""
    return {
        "state": {order[number]: entry for number, entry in state["state"].items()},
        "param_groups": [
            {**group, "params": [order[number] for number in group["params"]]} for group in state["param_groups"]
        ],
    }


def sharding_units(model: Any) -> dict[str, Any]:
    """Arguments for accelerate's FSDP plugin: which modules are gathered one at a time.

    Those that the model names as never to be split, but for one that holds the embeddings, as in BERT: accelerate makes
    a unit of the embeddings itself, and would shard their weights twice.

    Raises:
        TrainerError: BAD_CONFIGURATION for a model whose embeddings stand in more places than at its input and output.
    """
    embeddings = model.get_input_embeddings()
    owners = [module for module in model.modules() if any(p is embeddings.weight for p in module._parameters.values())]
    if not {id(owner) for owner in owners} <= {id(embeddings), id(model.get_output_embeddings())}:
        raise bad_configuration(
            "training.parallelism: fsdp cannot shard this model, whose encoder and decoder have their embeddings in common",
            "set training.parallelism to ddp",
            Reason.SHARDING_NOT_POSSIBLE,
        )
    named = set(getattr(model, "_no_split_modules", None) or ())
    layers = [module for module in model.modules() if type(module).__name__ in named]
    inside = {type(layer).__name__ for layer in layers if any(module is embeddings for module in layer.modules())}
    units = sorted({type(layer).__name__ for layer in layers} - inside)
    return {"transformer_cls_names_to_wrap": units} if units else {"auto_wrap_policy": "NO_WRAP"}


def spread_over_cpus(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin) -> None:
    """Have FSDP where accelerate, which knows it for GPUs alone, would take DDP without a word."""
    if accelerator.distributed_type != DistributedType.MULTI_CPU:
        return
    if accelerator.mixed_precision != "no":
        plugin.set_mixed_precision(accelerator.mixed_precision)
    accelerator.state.fsdp_plugin = plugin
    for state in (accelerator.state, PartialState()):
        state.distributed_type = DistributedType.FSDP
