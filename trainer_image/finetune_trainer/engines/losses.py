"""The loss of an optimizer step: the mean over all its labels, in however many batches and processes they come.

A model gives the mean over the labels of one batch. The mean of such means is another number where batches have
unequally many labels; so each counts by its share of the labels. transformers' Trainer instead tells the model how many
labels the step has, which many models do not heed: theirs are then too large by the factor of accumulation.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

_IGNORED = -100


def shifts_labels(model: torch.nn.Module) -> bool:
    """Whether the label at a position is compared with the prediction at the one before, as in language models."""
    causal = LOSS_MAPPING.get(str(getattr(model, "loss_type", None))) is ForCausalLMLoss
    return causal and not getattr(getattr(model, "config", None), "is_encoder_decoder", False)


def count_labels(batch: Mapping[str, Any], shifted: bool) -> torch.Tensor:
    """How many labels of a batch count in its loss, as a scalar on the batch's device."""
    if "shift_labels" in batch:
        labels = batch["shift_labels"]
    else:
        labels = batch["labels"][..., 1:] if shifted else batch["labels"]
    # Of numbers to learn each counts, -100 too.
    count: torch.Tensor = (labels.ne(_IGNORED) if not labels.is_floating_point() else torch.ones_like(labels)).sum()
    return count


def share_of_step(loss: torch.Tensor, own: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """What a batch adds to the loss of its step.

    Args:
        loss: Mean over the labels of the batch; not a number where it has none.
        own: Number of labels in the batch.
        total: Number of labels in the step, over all its batches and processes.
    """
    return torch.where(own > 0, loss * (own / total.clamp(min=1)), 0.0)
