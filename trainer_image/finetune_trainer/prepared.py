"""What an engine needs to train: made once by `preparing`, the same for every engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import datasets
import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.run import RunConfig
from finetune_trainer.data.rows import Rows
from finetune_trainer.models.loading import Loaded
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.reporting.by_class import ByClass

if TYPE_CHECKING:
    from peft import PeftModel

Collate: TypeAlias = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]
"""Rows of `Examples` to one padded batch."""


@dataclass(frozen=True)
class Examples:
    """Tokenised rows: input_ids, labels and what else the model takes."""

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


@dataclass(frozen=True)
class Inputs:
    """What a task gets."""

    config: RunConfig
    pretrained: Pretrained
    tokenizer: Tokenizer
    train: Rows
    evaluation: Rows | None
    use_cpu: bool
    tell: Callable[[str], None]
    """Says what is being done, for people."""


@dataclass(frozen=True)
class TaskData:
    """What a task makes of it."""

    train: Examples
    evaluation: Examples | None
    collate: Collate
    """To be called once a model is loaded: that of seq2seq has the model shift its targets."""
    scoring: Scoring
    load_model: Callable[[Pretrained], Loaded]
    """Loads the pretrained weights, with a head for the task, by `model.load_model`. Called after the seed is set."""
    columns: list[str]
    """Columns of the rows that the run learns from: the fingerprint is of these."""
    longest: int | None
    """Most tokens in a row; None where nothing bounds it."""
    label_names: list[str]
    """Names of the classes in the order of their ids; empty where there are none."""


@dataclass(frozen=True)
class Prepared:
    """Model and data of one run."""

    config: RunConfig
    pretrained: Pretrained
    model: "PreTrainedModel | PeftModel"
    """Of a PEFT model only the adapter is trained and saved."""
    tokenizer: Tokenizer
    data: TaskData
    use_cpu: bool
