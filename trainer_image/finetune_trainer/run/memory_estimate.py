"""How much memory a training will take, and how much room its output, by the shapes of its weights alone."""

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from finetune_api.run import RunConfig
from finetune_trainer.base.pinned_memory import pinned
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.settings.run_plan import RunPlan

_FULL, _HALF = 4, 2
_GIB = 2**30
_OPTIMIZER_BYTES = {"sgd": 0, "adafactor": 0, "adagrad": 4, "rmsprop": 4, "lion_32bit": 4, "lion_8bit": 1,
                    "adamw_8bit": 2, "adamw_bnb_8bit": 2, "paged_adamw_8bit": 2}  # fmt: skip
"""Bytes of state for each trained weight, by `optim`, where it is not the 8 of AdamW: two numbers in float32."""
_QUANTIZED_BYTES = {"4bit": 4.127 / 8, "8bit": 1.0}
"""4 bits, and 0.127 for the constants of each block: https://arxiv.org/abs/2305.14314, section 3."""
_SCORES_KEPT = 3
"""Attention that is written out keeps its scores after the softmax, the mask of their dropout, and the product."""


@dataclass(frozen=True)
class Sizes:
    """What a model's memory depends on."""

    parameters: int
    """Weights, the adapter's included."""
    trained: int
    """Those that are trained."""
    linear: int
    """Those of linear layers that are not trained: quantization makes them small."""
    kept: int
    """Numbers kept of each token for the backward pass: what goes into and out of each linear layer but the output."""
    layers: int
    heads: int
    hidden: int
    """Width of what goes from one layer to the next."""
    vocabulary: int
    """Width of the output for each token; 0 where no tokens are written."""
    dropout: bool
    pinned: int
    """Bytes of pinned memory that a copy of the trained weights in float32 takes: each is rounded up to a power of two."""
    eager: bool
    """Whether attention is written out, and not done by a kernel that keeps no scores."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    checkpoint: int = 0
    """Copy of a checkpoint that is being written. That of a GPU's is in the CPU's memory, and not here."""

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.checkpoint


def sizes_of(model: Any) -> Sizes:
    """Read off a model of transformers, or off one that peft wraps. Its weights may be on the device `meta`."""
    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    config = model.config.get_text_config()
    return Sizes(
        parameters=sum(weight.numel() for weight in model.parameters()),
        trained=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        linear=sum(layer.weight.numel() for layer in layers if not layer.weight.requires_grad),
        kept=sum(sum(layer.weight.shape) for layer in layers),
        # Not every architecture has these; it is an estimate.
        layers=getattr(config, "num_hidden_layers", 1),
        heads=getattr(config, "num_attention_heads", 1),
        hidden=getattr(config, "hidden_size", 0),
        vocabulary=0 if head is None else head.weight.shape[0],
        pinned=sum(pinned(weight.numel() * _FULL) for weight in model.parameters() if weight.requires_grad),
        dropout=any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()),
        eager=config._attn_implementation == "eager",
    )


def estimate_memory(sizes: Sizes, plan: RunPlan, length: int) -> Memory:
    """Estimate what one process needs on its device at the most, within about a third; the libraries' own memory is not in it.

    Weights, gradients and the optimizer's state by the counts of
    https://huggingface.co/docs/transformers/model_memory_anatomy. Activations as in https://arxiv.org/abs/2205.05198,
    section 4, but counted by what goes into and out of all linear layers: for the layer of that paper, with attention
    that keeps no scores, 36 bytes for each token and each number of its width, where the paper has 34.

    Args:
        length: Tokens in the longest row.
    """
    lora = plan.config.training.lora
    number = _HALF if plan.bf16 else _FULL
    frozen = sizes.parameters - sizes.trained
    small = sizes.linear if lora and lora.quantization else 0
    bits = _QUANTIZED_BYTES[lora.quantization] if lora and lora.quantization else 0
    # Under mixed precision a trained weight has a copy in 16 bits besides. Beside quantized weights the rest is in full.
    trained = sizes.trained * (_FULL + (_HALF if plan.bf16 else 0))
    parts = plan.world_size if plan.config.training.parallelism == "fsdp" else 1
    buckets = 2 if plan.world_size > 1 and parts == 1 else 1  # DDP sends gradients from buffers of its own
    return Memory(
        weights=round((trained + (frozen - small) * (_FULL if small else number) + small * bits) / parts),
        gradients=sizes.trained * _FULL * buckets // parts,
        optimizer=sizes.trained * _optimizer_bytes(plan.config) // parts,
        activations=_activations(sizes, plan, length, number),
        checkpoint=0 if plan.device.gpu else _copy_bytes(sizes, plan),
    )


def shortage(memory: Memory, free: int | None) -> str | None:
    """Return a warning where `free` bytes are probably not enough; None where they are, or are not known."""
    if free is None or memory.total <= free:
        return None
    return (
        f"the memory may not be enough: about {memory.total / _GIB:.1f} GiB are needed on each device, {free / _GIB:.1f} GiB "
        "are free; a smaller training.batchSize with more training.arguments.gradient_accumulation_steps trains the "
        "same, activation_checkpointing: true takes time instead, training.lora trains less"
    )


def gpus_needed(sizes: Sizes, plan: RunPlan, longest: int, free: int) -> int | None:
    """Return over how many GPUs with `free` bytes each FSDP must spread the model; None where no number is enough.

    Args:
        longest: Tokens in the longest row.
    """
    training = plan.config.training
    if (
        not plan.device.gpu
        or not ENGINES[training.engine].distributed
        or (training.lora and training.lora.quantization)
    ):
        return None  # these are not spread
    spread = training.model_copy(update={"parallelism": "fsdp"})
    for gpus in (2, 4, 8, 16, 32, 64):
        larger = plan.config.model_copy(update={"gpus": gpus, "nodes": 1, "training": spread})
        if estimate_memory(sizes, replace(plan, config=larger), longest).total <= free:
            return gpus
    return None


def copy_shortage(sizes: Sizes, plan: RunPlan, free: int | None) -> str | None:
    """Return a warning where the CPU's memory has probably no room for the copy of a GPU's checkpoint, else None.

    Args:
        free: Bytes of it before any model is loaded.
    """
    needed = _copy_bytes(sizes, plan)
    if not plan.device.gpu or free is None or needed <= free:
        return None
    return (
        f"the memory may have no room for the copy of a checkpoint: about {needed / _GIB:.1f} GiB are needed beside the GPU's, "
        f"{free / _GIB:.1f} GiB are free: the training waits while a checkpoint is written; raise resources.memory, or "
        "save more rarely"
    )


def _copy_bytes(sizes: Sizes, plan: RunPlan) -> int:
    """Of a checkpoint's weights in float32 and its optimizer's state, in the CPU's memory.

    From a GPU they are copied into pinned memory, but under FSDP, which gathers them.
    """
    gathered = plan.config.training.parallelism == "fsdp" and plan.world_size > 1
    weights = sizes.pinned if plan.device.gpu and not gathered else sizes.trained * _FULL
    return weights + weights * _optimizer_bytes(plan.config) // _FULL


def merge_shortage(sizes: Sizes, plan: RunPlan, free: int | None) -> str | None:
    """Return a warning where an adapter is to be merged at the end, and the CPU's memory is probably not enough, else None:
    it takes the model in float32, beside those that are trained on the CPU.

    Args:
        free: Bytes of it before any model is loaded.
    """
    lora = plan.config.training.lora
    needed = sizes.parameters * _FULL * (1 + (0 if plan.device.gpu else plan.config.processes))
    if not (lora and lora.merge) or free is None or needed <= free:
        return None
    return (
        f"the memory may not be enough to merge the adapter at the end: about {needed / _GIB:.1f} GiB are needed beside the "
        f"GPU's, {free / _GIB:.1f} GiB are free; raise resources.memory, or leave training.lora.merge out"
    )


def estimate_output(sizes: Sizes, config: RunConfig) -> int:
    """Bytes that the checkpoints, one being written among them, and the model will take, where no stop adds checkpoints."""
    checkpoints, lora = config.checkpoints, config.training.lora
    count = checkpoints.keep + 1 + (config.evaluation.best_metric is not None)
    if checkpoints.strategy == "epoch":
        count = min(count, math.ceil(config.training.epochs))
    exported = sizes.trained if lora and not lora.merge else sizes.parameters
    return count * sizes.trained * (_FULL + _optimizer_bytes(config)) + exported * _FULL


def output_shortage(needed: int, free: int | None) -> str | None:
    """Return a warning where `free` bytes at the output are probably not enough, else None."""
    if free is None or needed <= free:
        return None
    return (
        f"the output may become full: its checkpoints and the model take up to {needed / _GIB:.1f} GiB, {free / _GIB:.1f} GiB "
        "are free; set a larger output.size, or a smaller checkpoints.keep"
    )


def _optimizer_bytes(config: RunConfig) -> int:
    return _OPTIMIZER_BYTES.get(str(config.training.arguments.get("optim")), 2 * _FULL)


def _activations(sizes: Sizes, plan: RunPlan, length: int, number: int) -> int:
    """Bytes that the backward pass needs, and those of the loss over a vocabulary.

    Args:
        number: Bytes of a number in the forward pass.
    """
    each = sizes.kept
    if sizes.eager or (sizes.dropout and not plan.device.gpu):  # with dropout, torch on a CPU writes attention out too
        each += _SCORES_KEPT * sizes.layers * sizes.heads * length
    if plan.batch.activation_checkpointing:  # each layer keeps its input; one at a time is computed again
        each = sizes.layers * sizes.hidden + each // max(1, sizes.layers)
    # The loss has the logits in float32, their softmax, and its gradient.
    output = sizes.vocabulary * (3 * _FULL + (_HALF if number == _HALF else 0))
    return plan.batch.batch_size * length * (each * number + output)
