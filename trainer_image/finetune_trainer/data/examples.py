"""Tokenized rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import datasets
import torch

Collate: TypeAlias = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]
"""Rows of `Examples` to one padded batch."""


@dataclass(frozen=True)
class Examples:
    """Tokenized rows: input_ids, labels and what else the model takes."""

    dataset: datasets.Dataset
    lengths: list[int]
    """Tokens in each row, without padding."""
    name_row: Callable[[int], str] | None = None
    """How people call the row at an index; None where each holds several of theirs."""

    def called(self, index: int) -> str:
        """How to call the row at `index`, to people."""
        return self.name_row(index) if self.name_row else f"packed sequence {index + 1}"

    def select(self, indices: Sequence[int]) -> "Examples":
        """The rows at these indices, in their order."""
        lengths = [self.lengths[index] for index in indices]
        return Examples(self.dataset.select(indices), lengths, lambda index: self.called(indices[index]))
