"""FSDP: what of a model is sharded over the processes, and what its sharding is set up with."""

from typing import Any

from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin, PartialState
from torch.distributed.fsdp import FSDPModule

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration


def is_sharded(model: object) -> bool:
    """Whether each process holds a part of the model (FSDP)."""
    return isinstance(model, FSDPModule)


def sharding_units(model: Any) -> dict[str, Any]:
    """Return arguments for accelerate's FSDP plugin: which modules are gathered one at a time.

    These are the modules that the model names as never to be split, except one that holds the embeddings, as in BERT:
    accelerate makes a unit of the embeddings itself, and would shard their weights twice.

    Raises:
        TrainerError: BAD_CONFIGURATION for a model whose embeddings are used elsewhere than at its input and output.
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


def enable_fsdp_on_cpu(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin) -> None:
    """Switch to FSDP on CPUs, where accelerate, which knows it for GPUs alone, silently uses DDP."""
    if accelerator.distributed_type != DistributedType.MULTI_CPU:
        return
    if accelerator.mixed_precision != "no":
        plugin.set_mixed_precision(accelerator.mixed_precision)
    accelerator.state.fsdp_plugin = plugin
    for state in (accelerator.state, PartialState()):
        state.distributed_type = DistributedType.FSDP
