"""What a reader makes of the files of a split, before it is kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import datasets
import pyarrow as pa  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.text import listed

ROWS_AT_ONCE = 10_000
CHARACTERS_AT_ONCE = 1 << 24
"""A table that is read holds at most so many rows, and about so much text: memory stays bounded."""


@dataclass(frozen=True)
class Doubt:
    """What is wrong with a column. It ends the run only where the column is read: others may hold what they like."""

    reason: Reason
    message: str
    hint: str

    def error(self) -> TrainerError:
        return data_error(self.reason, self.message, self.hint)


@dataclass(frozen=True)
class SplitTables:
    """The rows of a split, file after file."""

    features: datasets.Features
    tables: Callable[[], Iterator[pa.Table]]
    """Reads them; each table has the columns of `features`, as they are stored."""
    doubts: dict[str, Doubt]
    """By column."""


def columns_that_differ(columns: Mapping[str, Sequence[str]]) -> dict[str, Doubt]:
    """A doubt for each column that only some files have. `columns` are those of each file, by its name."""
    every = dict.fromkeys(column for there in columns.values() for column in there)
    known = {file: set(there) for file, there in columns.items()}
    doubts = {}
    for column in every:
        having = next(file for file, there in known.items() if column in there)
        lacking = next((file for file, there in known.items() if column not in there), None)
        if lacking is not None:
            doubts[column] = Doubt(
                Reason.COLUMNS_DIFFER,
                f"{having} has the column '{column}' and {lacking} has not: the files have different columns; "
                f"one has {listed(columns[having])}, another {listed(columns[lacking])}",
                "give all files of a split the same columns, or put those with others into a folder of their own",
            )
    return doubts
