"""Batches of rows of like length: little padding, and still in random order."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

_BATCHES_TO_SORT = 50


class LengthGroupedSampler(Sampler[int]):
    """Shuffles the rows, sorts them by length within groups of 50 batches, and shuffles those batches.

    The order depends on `seed` and the epoch alone, so that a run resumed within an epoch meets the rows that are left.
    transformers' sampler draws from the global generator instead, and begins each group with its longest rows.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        shuffled: list[int] = torch.randperm(len(self._lengths), generator=generator).tolist()
        group = self._batch_size * _BATCHES_TO_SORT
        ordered: list[int] = []
        for start in range(0, len(shuffled), group):
            ordered += sorted(shuffled[start : start + group], key=lambda index: -self._lengths[index])
        batches = [ordered[start : start + self._batch_size] for start in range(0, len(ordered), self._batch_size)]
        # A batch that is not full comes last: everywhere else it would shift the ones after it.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for number in torch.randperm(len(full), generator=generator).tolist():
            yield from full[number]
        for batch in rest:
            yield from batch
