"""How an evaluation is scored: what is kept of each batch, and the metrics over all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from finetune_trainer.metrics.by_class import ByClass


class Scores(Protocol):
    """Metrics over evaluation rows, batch by batch, as the `evaluate` library has them."""

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        """Take what `Scoring.keep` (or generation) gave for some rows, and their labels. -100 is padding in both."""

    def compute(self, loss: float) -> dict[str, float]:
        """The metrics over all rows, by name. `loss` is the mean over labels; a metric `loss` takes its place."""

    def by_class(self) -> ByClass | None:
        """Of each class, after `compute`; None where there are none."""


@dataclass(frozen=True)
class Scoring:
    """How a task's evaluation is done."""

    keep: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """From a batch's logits and labels to what `Scores` need of each row, shape (rows, …)."""
    scores: Callable[[], Scores]
    """Fresh scores for one evaluation."""
    generation: dict[str, Any] | None = None
    """Where predictions are written by the model and not read off its logits: arguments for `generate`."""
