"""A sample of rows: enough to know how long texts are, and those that are the likeliest to be wrong."""

from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_trainer.data.rows import Rows

_BATCH = 10_000


def sample_rows(rows: Rows, most: int, label_column: str | None) -> Rows:
    """All rows where they are at most `most`; else about as many, evenly spread, and with them the first row of each
    label, but no more than `most` of these, and the shortest, the longest and the first missing text of each column.
    """
    count = len(rows.dataset)
    if count <= most:
        return rows
    spread = range(0, count, -(-count // most))
    chosen = np.array(sorted({*spread, *_likely_problems(rows, most, label_column)}))
    return rows.select(chosen)


def _likely_problems(rows: Rows, most: int, label_column: str | None) -> set[int]:
    labels: dict[Any, int] = {}
    missing: dict[str, int] = {}
    extremes: dict[tuple[str, str], tuple[int, int]] = {}
    start = 0
    for table in rows.dataset.with_format("arrow").iter(batch_size=_BATCH):
        for name in table.column_names:
            column = table[name].combine_chunks()
            if column.null_count and name not in missing:
                missing[name] = start + pc.index(pc.is_null(column), True).as_py()
            if name == label_column:
                _keep_labels(labels, most, column, start)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                _keep_extremes(extremes, name, column, start)
        start += len(table)
    return {*labels.values(), *missing.values(), *(index for _, index in extremes.values())}


def _keep_labels(labels: dict[Any, int], most: int, column: Any, start: int) -> None:
    """Note the index of the first row with each label: a text, a whole number, or those of a list. Of fractions one will do."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    kind = column.type.value_type if is_list else column.type
    if pa.types.is_nested(kind):
        return
    for index, value in enumerate(column.to_pylist()):
        for label in value or [] if is_list else [value]:
            if len(labels) < most:
                whole = not isinstance(label, float) or label.is_integer()
                labels.setdefault(label if whole else "a fraction", start + index)


def _keep_extremes(extremes: dict[tuple[str, str], tuple[int, int]], name: str, column: Any, start: int) -> None:
    """Note the index of the shortest and of the longest text of `column`, spaces around it aside, if they are more so than those before."""
    all_lengths = pc.utf8_length(pc.ascii_trim_whitespace(column))
    lengths = all_lengths.drop_null()
    if not len(lengths):
        return
    for kind, sign, found in (("shortest", 1, pc.min(lengths)), ("longest", -1, pc.max(lengths))):
        rank = sign * found.as_py()
        if (name, kind) not in extremes or rank < extremes[name, kind][0]:
            extremes[name, kind] = (rank, start + pc.index(all_lengths, found).as_py())
