"""What a task is: how rows become tokens and labels, which head the model gets, and how an evaluation is scored.

Each file of this folder is one task, and `registry` has a row for it. `prepare` is the same for all of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.run import RunConfig
from finetune_trainer.data.examples import Collate, Examples
from finetune_trainer.data.known_words import check_known
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.data.token_checks import check_embedded, check_filled, check_lengths
from finetune_trainer.data.tokenizing import Encode, tokenized
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.models.loading import Loaded
from finetune_trainer.models.pretrained import Pretrained


@dataclass(frozen=True)
class Inputs:
    """What a task gets."""

    config: RunConfig
    pretrained: Pretrained
    tokenizer: Tokenizer
    train: Rows
    evaluation: Rows | None
    use_cpu: bool
    report: Callable[[str], None]
    """Reports what is being done, for people."""

    @property
    def splits(self) -> Iterator[Rows]:
        """The training rows, and those of the evaluation if there are any."""
        return filter(None, (self.train, self.evaluation))


def _unchanged(examples: Examples) -> Examples:
    return examples


@dataclass(frozen=True)
class Split:
    """How the rows of one split become tokens."""

    rows: Rows
    columns: list[str]
    """What is read of the rows."""
    encode: Encode
    made_by: tuple[Any, ...]
    """What the tokens depend on beside the contents of `columns`, as JSON; see `tokenized`."""
    finish: Callable[[Examples], Examples] = _unchanged
    """Checks what only this task knows, and leaves out rows of which nothing is learnt."""


@dataclass(frozen=True)
class Reading:
    """How a task reads the rows of one run; made before a row is tokenized."""

    train: Split
    evaluation: Split | None
    longest: int | None
    """Most tokens in a row; None where nothing bounds it."""
    collate: Collate
    scoring: Scoring
    load_model: Callable[[Pretrained], Loaded]
    """See `TaskData.load_model`."""
    label_names: list[str]
    """Names of the classes in the order of their ids; empty where there are none."""
    token_columns: tuple[str, ...] = ("input_ids",)
    """What `encode` gives that holds tokens of the tokenizer."""
    may_be_empty: bool = False
    """Whether rows without a token are left out by `finish`, and not refused."""


class Task(Protocol):
    """One file of this folder. A module with these two functions is a task."""

    def read(self, inputs: Inputs) -> Reading:
        """Check rows, columns and settings, and decide how the rows are read.

        Raises:
            TrainerError: DATA, MODEL or BAD_CONFIGURATION, naming the column, the row or the field.
        """

    def label_column(self, config: RunConfig) -> str | None:
        """The column that holds classes, if one does: a sample of rows has all of them."""


def prepare(task: Task, inputs: Inputs) -> TaskData:
    """Check the rows and tokenize them.

    Raises:
        TrainerError: DATA, MODEL or BAD_CONFIGURATION, naming the column, the row or the field.
    """
    reading = task.read(inputs)
    return TaskData(
        train=_examples(inputs, reading, reading.train),
        evaluation=_examples(inputs, reading, reading.evaluation) if reading.evaluation else None,
        collate=reading.collate,
        scoring=reading.scoring,
        load_model=reading.load_model,
        columns=reading.train.columns,
        longest=reading.longest,
        label_names=reading.label_names,
    )


def _examples(inputs: Inputs, reading: Reading, split: Split) -> Examples:
    rows = split.rows
    inputs.report(f"tokenizing {len(rows.positions)} rows of split {rows.split}")
    examples = tokenized(rows, split.columns, split.encode, *split.made_by)
    if not reading.may_be_empty:
        check_filled(rows, examples.lengths)
    check_lengths(rows, examples.lengths, reading.longest)
    check_embedded(rows, examples.dataset, inputs.tokenizer, inputs.pretrained, reading.token_columns)
    check_known(rows, examples.dataset, inputs.tokenizer, inputs.pretrained.source, reading.token_columns)
    return split.finish(examples)
