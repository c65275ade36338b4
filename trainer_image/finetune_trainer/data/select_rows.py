"""Of the rows that were read, those that the settings ask for: a split, several, a slice or a sample."""

import logging
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import datasets
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_api.sources import Columns, Split
from finetune_trainer.base.errors import bad_configuration, data_error
from finetune_trainer.base.text import did_you_mean, listed
from finetune_trainer.data.readers.row_cache import Doubts
from finetune_trainer.data.rows import Rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """The rows of all splits."""

    splits: datasets.DatasetDict
    doubts: Doubts = field(default_factory=dict)
    commit: str | None = None


def select_rows(
    source: str, loaded: Loaded, columns: Columns, train: Split, evaluation: Split | None
) -> tuple[Rows, Rows | None]:
    """Return the training rows, and the evaluation rows where asked for.

    Raises:
        TrainerError: DATA or BAD_CONFIGURATION when a split or its rows are not there.
    """
    loaded = replace(loaded, splits=_with_fields(loaded.splits, columns))
    return _take(source, loaded, train), _take(source, loaded, evaluation) if evaluation else None


def _with_fields(splits: datasets.DatasetDict, columns: Columns) -> datasets.DatasetDict:
    """With the fields of a column as columns of their own, such as translation.en, where one is asked for."""
    dotted = {name for name in columns.model_dump().values() if name and "." in name}
    return datasets.DatasetDict(
        {name: split if dotted <= set(split.column_names) else split.flatten() for name, split in splits.items()}
    )


def _take(source: str, loaded: Loaded, wanted: Split) -> Rows:
    splits = loaded.splits
    lengths = {name: len(split) for name, split in splits.items()}
    try:
        slices = datasets.ReadInstruction.from_spec(wanted.split).to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        if wanted.split.split("[")[0] not in lengths:
            raise data_error(
                Reason.SPLIT_NOT_FOUND,
                f"there is no split '{wanted.split}', only {listed(lengths)}"
                f"{did_you_mean(wanted.split.split('[')[0], lengths)}",
                "set split of dataset.train or dataset.evaluation to one that is there; a single file has the split train",
            ) from error
        raise bad_configuration(
            f"split '{wanted.split}': {str(error).splitlines()[0]}", "slices look like train[:80%] or test[100:200]"
        ) from error
    if empty := next((part.splitname for part in slices if not lengths[part.splitname]), None):
        where = f" in split '{empty}'" if len(lengths) > 1 else ""
        raise data_error(
            Reason.NO_ROWS, f"{source} has no rows{where}", "was the file written to its end? Check dataset.source"
        )
    slices = [part for part in slices if part.to > part.from_]
    parts = [splits[part.splitname].select(range(part.from_, part.to)) for part in slices]
    if not parts:
        raise data_error(
            Reason.NO_ROWS,
            f"split '{wanted.split}' has no rows",
            "set split of dataset.train or dataset.evaluation to a slice that has some",
        )
    dataset = parts[0] if len(parts) == 1 else _joined(parts, slices)
    positions = np.concatenate([np.arange(part.from_ + 1, part.to + 1) for part in slices])
    names = np.repeat(np.array([part.splitname for part in slices], object), [part.to - part.from_ for part in slices])
    odd = {column: doubt for part in slices for column, doubt in loaded.doubts.get(part.splitname, {}).items()}
    rows = Rows(dataset, positions, names, wanted.split, odd, loaded.commit)
    if wanted.samples is None:
        return rows
    if wanted.samples > len(dataset):
        logger.info("split '%s' has only %d rows, all are taken", wanted.split, len(dataset))
    # The same rows as dataset.shuffle(seed).select(range(samples)), with their positions known.
    return rows.select(np.random.default_rng(wanted.seed).permutation(len(dataset))[: wanted.samples])


def _joined(parts: list[datasets.Dataset], slices: list[Any]) -> datasets.Dataset:
    try:
        return datasets.concatenate_datasets(parts)
    except (ValueError, TypeError, pa.ArrowInvalid) as error:
        one, other = next((a, b) for a, b in pairwise(range(len(parts))) if parts[a].features != parts[b].features)
        raise data_error(
            Reason.COLUMNS_DIFFER,
            f"splits '{slices[one].splitname}' and '{slices[other].splitname}' cannot be joined: one has "
            f"{_described(parts[one])}, the other {_described(parts[other])}",
            "write them with the same columns and types",
        ) from error


def _described(rows: datasets.Dataset) -> str:
    return listed(f"{name} ({getattr(kind, 'dtype', type(kind).__name__)})" for name, kind in rows.features.items())
