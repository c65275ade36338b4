"""The columns that a task reads: they are there, no value is missing or torn, and their type is one that it can use."""

import ast
from collections.abc import Collection
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import did_you_mean, is_blank, named, seen
from finetune_trainer.data.missing_column import ONE_OBJECT_A_LINE, where_it_may_be
from finetune_trainer.data.readers.decoding import TO_UTF8
from finetune_trainer.data.rows import Rows

_AT_ONCE = 10_000
_KINDS = {"large_string": "text", "string": "text", "Json": "values of several types"}


def check_columns(rows: Rows, columns: dict[str, str], beside: Collection[str] = ()) -> None:
    """Each column must be there, hold no null, also not within lists, and its texts must be UTF-8.

    Args:
        columns: From fields of dataset.columns, as the manifest has them, to names of columns.
        beside: Other columns that are read, whose values may be missing.

    Raises:
        TrainerError: DATA, naming the column, and the row where there is one; BAD_CONFIGURATION when two fields name
            the same column.
    """
    fields = {column: field for field, column in columns.items()}
    for field, column in columns.items():
        if fields[column] != field:
            raise bad_configuration(
                f"dataset.columns: {field} and {fields[column]} are both '{column}'", "give each a column of its own"
            )
    there = rows.dataset.column_names
    for field, column in columns.items():
        if doubt := rows.doubts.get(column) or rows.doubts.get(column.split(".")[0]):
            raise doubt.error()
        if column not in there:
            raise data_error(
                Reason.COLUMN_NOT_FOUND,
                f"split '{rows.split}' has no column '{seen(column)}', only {named(there)}{did_you_mean(column, there)}",
                where_it_may_be(rows, column, field) or f"set dataset.columns.{field} to the column that holds it",
            )
        _check_values(rows, column)
    for column in beside:
        _check_values(rows, column, may_be_missing=True)


def check_text(rows: Rows, field: str, column: str) -> None:
    """The column must hold text.

    Raises:
        TrainerError: DATA, naming the column and what it holds.
    """
    kind = kind_of(rows.dataset.features[column])
    if kind != "text":
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{column}' of split '{rows.split}' holds {kind} and not text ({example(rows, column)})",
            ONE_OBJECT_A_LINE
            if len(rows.dataset) == 1 and kind.startswith("list")
            else f"set dataset.columns.{field} to a column of text",
        )


def check_no_lists(rows: Rows, column: str) -> None:
    """The texts of a label column must not be lists in writing: each of them would be a class of its own.

    Raises:
        TrainerError: DATA, with the first.
    """
    if kind_of(rows.dataset.features[column]) == "text" and all(map(_is_written_list, rows.dataset[:100][column])):
        raise data_error(
            Reason.LIST_AS_TEXT,
            f"column '{column}' of split '{rows.split}' holds lists that are written as text ({example(rows, column)})",
            "csv files cannot hold lists: use jsonl or parquet, with a list of classes for each row",
        )


def _is_written_list(text: str) -> bool:
    if not (text.startswith("[") and text.endswith("]")):
        return False
    try:
        return isinstance(ast.literal_eval(text), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def check_not_empty(rows: Rows, columns: Collection[str]) -> None:
    """Warn of texts that show nothing, with their number: that is no mistake where only some are, but seldom meant.

    Raises:
        TrainerError: DATA where all texts of all of these columns are empty.
    """
    empty = {column: _empty_texts(rows, column) for column in columns}
    told = [_told(rows, column, marks) for column, marks in empty.items() if marks.any()]
    if all(marks.all() for marks in empty.values()):
        raise data_error(
            Reason.EMPTY_TEXT, "; ".join(told), "set dataset.columns.text to the column that holds the texts"
        )
    for message in told:
        warn(Reason.EMPTY_TEXTS, message)


def _told(rows: Rows, column: str, empty: npt.NDArray[np.bool_]) -> str:
    if empty.all():
        return f"column '{column}': all {len(empty)} texts of split '{rows.split}' are empty"
    return f"column '{column}' has {int(empty.sum())} empty texts, the first in {rows.name_row(int(empty.argmax()))}"


def _empty_texts(rows: Rows, column: str) -> npt.NDArray[np.bool_]:
    """Of each row whether its text shows nothing."""
    texts = rows.dataset.select_columns([column]).with_format("arrow").iter(batch_size=_AT_ONCE)
    return np.array([is_blank(text) for table in texts for text in table[column].to_pylist()], bool)


def kind_of(feature: Any) -> str:
    """What a column holds, for people: `text`, `int64`, `list of text`, …"""
    if isinstance(feature, datasets.List | datasets.LargeList):
        return f"list of {kind_of(feature.feature)}"
    name = feature.dtype if isinstance(feature, datasets.Value) else type(feature).__name__
    return _KINDS.get(name, name)


def example(rows: Rows, column: str, index: int = 0) -> str:
    """A row's value, for a message."""
    return f"row {rows.positions[index]}: {rows.dataset[index][column]!r:.80}"


def _check_values(rows: Rows, column: str, may_be_missing: bool = False) -> None:
    done = 0
    for table in rows.dataset.select_columns([column]).with_format("arrow").iter(batch_size=_AT_ONCE):
        values = table[column]
        if values.null_count and not may_be_missing:
            index = done + int(pc.index(pc.is_null(values), True).as_py())
            raise data_error(
                Reason.VALUE_MISSING,
                f"column '{column}' is empty in {rows.name_row(index)}",
                "fill it in or drop the row. In csv files NA, N/A, None, null and nan mean empty too: where such a word is "
                "meant, write it in jsonl or parquet",
            )
        if _is_list(values.type) and pc.list_flatten(values).null_count and not may_be_missing:
            index = done + next(i for i, row in enumerate(values) if row.values.null_count)
            raise data_error(
                Reason.VALUE_MISSING,
                f"column '{column}' has a list with an empty entry in {rows.name_row(index)}",
                "fill it in or drop the row",
            )
        _check_encoding(rows, column, values, done)
        done += len(values)


def _check_encoding(rows: Rows, column: str, values: Any, done: int) -> None:
    """Readers of json and parquet let through what is not UTF-8; it would come up only when the row is used."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        index = done + next(i for i, value in enumerate(values) if not _readable(value))
        raise data_error(
            Reason.NOT_UTF8,
            f"column '{column}' in {rows.name_row(index)} is not UTF-8",
            TO_UTF8,
        ) from error


def _readable(value: Any) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
