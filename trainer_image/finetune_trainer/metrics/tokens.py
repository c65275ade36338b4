"""How well a language model predicts the next token, counted on the device."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from finetune_trainer.base.labels import IGNORED_LABEL


def count_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What `TokenScores` need, of shape (rows, 3): tokens predicted right, sum of the loss, and tokens in all.

    Args:
        logits: Of shape (rows, tokens, vocabulary).
        labels: Of shape (rows, tokens), -100 where nothing is learnt.
    """
    counts = []
    # Row by row: in float32 the logits of a whole batch may be the largest thing in memory.
    for row, wanted in zip(logits[:, :-1], labels[:, 1:], strict=True):
        counted = wanted != IGNORED_LABEL
        predicted, wanted = row[counted].float(), wanted[counted]
        right = (predicted.argmax(dim=-1) == wanted).sum()
        counts.append(torch.stack([right, cross_entropy(predicted, wanted, reduction="sum"), counted.sum()]))
    return torch.stack(counts)


class TokenScores:
    """Means over all tokens that are learnt, however rows are batched or packed; so `loss` is given here too."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._sums = np.zeros(3)

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        self._sums += predictions.astype(np.float64).sum(axis=0)

    def compute(self, loss: float) -> dict[str, float]:
        right, summed, tokens = self._sums
        mean = summed / max(tokens, 1)
        # Above 700 the exponential has no double; a model that bad must still have a number.
        known = {"accuracy": right / max(tokens, 1), "perplexity": math.exp(min(mean, 700))}
        return {"loss": float(mean), **{name: float(known[name]) for name in self._names}}

    def by_class(self) -> None:
        return None
