"""The order in which rows are trained: random, with batches of like length, and the same for any number of processes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import Sampler
from transformers import TrainingArguments

from finetune_trainer.data.examples import Examples

_BATCHES_TO_SORT = 50


@dataclass(frozen=True)
class CurrentRows:
    """The rows that are being trained or evaluated on, on all devices."""

    examples: Examples
    rows: list[int]
    """Indices in `examples`."""
    batch_size: int
    """Rows of a batch on one device."""
    training: bool

    @property
    def doing(self) -> str:
        return "trained on" if self.training else "evaluated"


class EpochSampler(Sampler[int]):
    """Shuffles the rows again in each epoch, by `seed` and the number of the epoch alone.

    So a run resumed within an epoch meets the rows that are left. The samplers of torch and transformers draw from the
    global generator, and accelerate does not pass the epoch to its own after it skipped batches in one of several processes.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0. To be called before each one."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        yield from self._order(torch.randperm(self._rows, generator=generator).tolist(), generator)

    def _order(self, shuffled: list[int], generator: torch.Generator) -> list[int]:
        return shuffled


class LengthGroupedSampler(EpochSampler):
    """Sorts the shuffled rows by length within groups of 50 steps, and shuffles the steps.

    Those of one step follow each other, so that accelerate, which deals batches out in turn, gives each process some of
    them: a step has the same rows whatever the number of processes and the size of their batches.
    """

    def __init__(self, lengths: Sequence[int], step_size: int, seed: int) -> None:
        """`step_size` is the number of rows of one optimizer step, over all processes."""
        super().__init__(len(lengths), seed)
        self._lengths = lengths
        self._step_size = step_size

    def _order(self, shuffled: list[int], generator: torch.Generator) -> list[int]:
        size, group = self._step_size, self._step_size * _BATCHES_TO_SORT
        ordered: list[int] = []
        for start in range(0, len(shuffled), group):
            ordered += sorted(shuffled[start : start + group], key=lambda index: -self._lengths[index])
        steps = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        # A step that is not full comes last: everywhere else it would shift the ones after it.
        full = [rows for rows in steps if len(rows) == size]
        rest = [rows for rows in steps if len(rows) < size]
        shuffle = torch.randperm(len(full), generator=generator).tolist()
        return [row for rows in [*(full[number] for number in shuffle), *rest] for row in rows]


def train_sampler(examples: Examples, arguments: TrainingArguments) -> EpochSampler:
    """Return the sampler that train_sampling_strategy names, `random` or `group_by_length`."""
    seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
    if arguments.train_sampling_strategy != "group_by_length":
        return EpochSampler(len(examples.lengths), seed)
    rows = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    return LengthGroupedSampler(examples.lengths, rows, seed)


def evaluation_order(examples: Examples) -> list[int]:
    """Return the rows, the longest first: little padding, and where memory is short that shows at once."""
    return sorted(range(len(examples.lengths)), key=lambda index: -examples.lengths[index])


def training_rows(
    examples: Examples, order: Iterable[int], step: int, batch_size: int, batches: int, processes: int = 1
) -> CurrentRows:
    """Return the rows after `step` steps of an epoch, each of so many `batches` on so many `processes`; those of the step after
    them too, since loaders read ahead."""
    rows = batch_size * batches * processes
    return CurrentRows(examples, list(islice(order, step * rows, (step + 2) * rows)), batch_size, training=True)


def evaluation_rows(examples: Examples, batch: int, batch_size: int, processes: int = 1) -> CurrentRows:
    """Return the rows after `batch` batches of each of so many `processes`, and the next ones, as in `training_rows`."""
    rows = batch_size * processes
    order = islice(evaluation_order(examples), batch * rows, (batch + 2) * rows)
    return CurrentRows(examples, list(order), batch_size, training=False)
