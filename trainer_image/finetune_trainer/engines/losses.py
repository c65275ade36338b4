"""The loss of an optimizer step: the mean over all its labels, in however many batches and processes they come.

A model gives the mean over the labels of one batch. The mean of such means is another number where batches have
unequally many labels; so each counts by its share of the labels. transformers' Trainer instead passes the number
of labels of the step to the model, which many models ignore: their losses are then too large by the factor of accumulation.
"""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

from finetune_trainer.base.labels import IGNORED_LABEL


def shifts_labels(model: torch.nn.Module) -> bool:
    """Return whether the label at a position is compared with the prediction at the one before, as in language models."""
    causal = LOSS_MAPPING.get(str(getattr(model, "loss_type", None))) is ForCausalLMLoss
    return causal and not getattr(getattr(model, "config", None), "is_encoder_decoder", False)


def count_labels(batch: Mapping[str, Any], shifted: bool) -> torch.Tensor:
    """Return how many labels of a batch count in its loss, as a scalar on the batch's device."""
    if "shift_labels" in batch:
        labels = batch["shift_labels"]
    else:
        labels = batch["labels"][..., 1:] if shifted else batch["labels"]
    # Of numbers to learn each counts, -100 too.
    count: torch.Tensor = (
        labels.ne(IGNORED_LABEL) if not labels.is_floating_point() else torch.ones_like(labels)
    ).sum()
    return count


def share_of_step(loss: torch.Tensor, own: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Return what a batch adds to the loss of its step, a scalar.

    Args:
        loss: Mean over the labels of the batch; not a number where it has none.
        own: Number of labels in the batch.
        total: Number of labels in the step, over all its batches and processes.
    """
    return torch.where(own > 0, loss * (own / total.clamp(min=1)), 0.0)


class LossOverLabels:
    """Mean loss over all labels of an evaluation, whatever the size of its batches and the number of processes."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        device = accelerator.device
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sums = torch.zeros(2, dtype=self._dtype, device=device)  # of the losses, and of the labels

    def add(self, loss: torch.Tensor, labels: torch.Tensor) -> None:
        """Add the mean loss of a batch, a scalar, and the number of its labels; without labels the loss may be nan."""
        count = labels.to(self._dtype)
        self._sums += torch.stack([torch.where(count > 0, loss.to(self._dtype) * count, 0), count])

    def mean(self) -> float:
        """Return the mean over all processes, which must call it at the same time; nan where there was no label."""
        total = self._accelerator.reduce(self._sums.clone(), "sum")
        return float(total[0] / total[1])


def is_filled_up(accelerator: Accelerator) -> bool:
    """Return whether the batches that all processes have now repeat rows: accelerate fills the last ones up, so that each
    of several processes has a full batch."""
    state = accelerator.gradient_state
    return accelerator.num_processes > 1 and bool(state.end_of_dataloader) and int(state.remainder) > 0


def own_rows(rows: int, accelerator: Accelerator) -> int:
    """Return how many of the `rows` in this process's filled-up batch are no repetition."""
    remainder, rank = int(accelerator.gradient_state.remainder), int(accelerator.process_index)
    return min(max(remainder - rank * rows, 0), rows)


def first_rows(batch: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the first rows of a batch, at least one."""
    return {name: value[: max(count, 1)] for name, value in batch.items()}
