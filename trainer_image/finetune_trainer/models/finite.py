"""Weights that are numbers: of one that is NaN or infinite, training makes nothing but NaN, at its first step."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from transformers import PreTrainedModel

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.weight_files import ADAPTER_WEIGHTS, WEIGHTS, file_of


def check_finite(model: PreTrainedModel, source: str, folder: Path) -> None:
    """Each weight of a loaded model is a finite number. Reads each once, and copies none.

    A buffer may be infinite, as a mask is, and so may the output layer's bias of tokens that are never written.

    Args:
        folder: Where its files are.

    Raises:
        TrainerError: MODEL, naming the weights and their files.
    """
    weights = dict(model.named_parameters())
    bias = getattr(model.get_output_embeddings(), "bias", None)  # type: ignore[no-untyped-call]
    broken = [
        name
        for name, weight in weights.items()
        if not all(map(_is_below_infinity if weight is bias else _is_finite, _numbers(weight)))
    ]
    broken += [name for name, buffer in model.named_buffers() if not all(map(_is_number, _numbers(buffer)))]
    if broken:
        raise _not_finite(source, folder, broken, len(weights), WEIGHTS)


def check_adapter_finite(tensors: Mapping[str, torch.Tensor], source: str, folder: Path) -> None:
    """As `check_finite`, of the weights that an adapter's files hold."""
    if broken := [name for name, tensor in tensors.items() if not all(map(_is_finite, _numbers(tensor)))]:
        raise _not_finite(source, folder, broken, len(tensors), ADAPTER_WEIGHTS)


def _numbers(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what is no whole number of a weight: of one that bitsandbytes holds in 4 or 8 bits, its scales."""
    state = getattr(weight, "quant_state", None)
    scales = (state.absmax, state.offset, getattr(state.state2, "absmax", None)) if state else ()
    for part in (weight, getattr(weight, "SCB", None), *scales):
        if part is not None and part.is_floating_point() and part.numel():
            yield part.detach()


def _is_finite(tensor: torch.Tensor) -> bool:
    # Both are NaN where one number is. It makes no tensor as large as this one, as isfinite does.
    return all(bool(torch.isfinite(bound)) for bound in torch.aminmax(tensor))


def _is_below_infinity(tensor: torch.Tensor) -> bool:
    return bool(torch.aminmax(tensor).max < torch.inf)  # not so of NaN


def _is_number(tensor: torch.Tensor) -> bool:
    return not torch.isnan(torch.aminmax(tensor).max)


def _not_finite(source: str, folder: Path, broken: list[str], count: int, known: tuple[str, ...]) -> TrainerError:
    return model_error(
        Reason.WEIGHTS_NOT_FINITE,
        f"{source}: {len(broken)} of its {count} weights {'holds' if len(broken) == 1 else 'hold'} NaN or infinite numbers, "
        f"which no training makes good: {listed(_with_files(folder, broken, known), 4)}",
        "compare the files with those that they were copied from; if they are the same, use an earlier checkpoint of the "
        "training that made them: it had come to NaN, or its numbers were too large for float16",
    )


def _with_files(folder: Path, names: Iterable[str], known: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        file = file_of(folder, name, known)
        yield f"{name} ({file})" if file else name
