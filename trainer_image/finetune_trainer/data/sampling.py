"""Some rows that stand for all: enough to know how long texts are, and those that are the likeliest to be wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_trainer.data.rows import Rows

_BATCH = 10_000


def sample_rows(rows: Rows, most: int, label_columns: Sequence[str]) -> Rows:
    """All rows where they are at most `most`; else about as many, evenly spread, and with them the first row of each
    label, the shortest, the longest and the first missing text of each column: what is wrong with labels and with empty
    or huge texts is found in the sample if it is anywhere.
    """
    count = len(rows.dataset)
    if count <= most:
        return rows
    spread = range(0, count, -(-count // most))
    chosen = np.array(sorted({*spread, *_telling(rows, label_columns)}))
    return Rows(rows.dataset.select(chosen), rows.positions[chosen], rows.split)


def _telling(rows: Rows, label_columns: Sequence[str]) -> set[int]:
    labels: dict[tuple[str, Any], int] = {}
    missing: dict[str, int] = {}
    extremes: dict[tuple[str, str], tuple[int, int]] = {}
    start = 0
    for table in rows.dataset.with_format("arrow").iter(batch_size=_BATCH):
        for name in table.column_names:
            column = table[name].combine_chunks()
            if column.null_count and name not in missing:
                missing[name] = start + pc.index(pc.is_null(column), True).as_py()
            if name in label_columns and not pa.types.is_floating(column.type):
                for index, value in enumerate(column.to_pylist()):
                    for label in value if isinstance(value, list) else [value]:
                        labels.setdefault((name, label), start + index)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                _keep_extremes(extremes, name, column, start)
        start += len(table)
    return {*labels.values(), *missing.values(), *(index for _, index in extremes.values())}


def _keep_extremes(extremes: dict[tuple[str, str], tuple[int, int]], name: str, column: Any, start: int) -> None:
    """Note the index of the shortest and of the longest text of `column`, if they are more so than those before."""
    lengths = pc.utf8_length(column).drop_null()
    if not len(lengths):
        return
    for kind, sign, found in (("shortest", 1, pc.min(lengths)), ("longest", -1, pc.max(lengths))):
        rank = sign * found.as_py()
        if (name, kind) not in extremes or rank < extremes[name, kind][0]:
            extremes[name, kind] = (rank, start + pc.index(pc.utf8_length(column), found).as_py())
