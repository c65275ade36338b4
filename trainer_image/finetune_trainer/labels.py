"""Names of classes, from the data: those of a ClassLabel, else the distinct values of the training rows."""

from collections.abc import Sequence
from typing import Any

import datasets

from finetune_trainer.columns import example, kind_of
from finetune_trainer.data import Rows
from finetune_trainer.failures import data_error, listed


def label_names(rows: Rows, column: str) -> list[str]:
    """The classes' names in the order of their ids, from the training rows.

    Raises:
        TrainerError: DATA when the column cannot be a class, or has fewer than two.
    """
    feature = _checked_feature(rows, column)
    if isinstance(feature, datasets.ClassLabel):
        names = list(feature.names)
    else:
        # Dataset.unique would write a file beside the data.
        names = [str(value) for value in sorted(set(rows.dataset[column][:]))]
    if len(names) < 2:
        raise data_error(
            "OneLabel",
            f"column '{column}' has only the label '{names[0]}' in split '{rows.split}'; it takes two to tell apart",
            "take more rows, or another column",
        )
    return names


def label_ids(rows: Rows, column: str, names: Sequence[str]) -> list[int]:
    """The id of each row's class.

    Raises:
        TrainerError: DATA, naming the row, for a label that is not among `names`.
    """
    feature = _checked_feature(rows, column)
    ids = {name: number for number, name in enumerate(names)}
    found = []
    for index, value in enumerate(rows.dataset[column][:]):
        if isinstance(feature, datasets.ClassLabel):
            name = feature.names[value] if 0 <= value < len(feature.names) else None
        else:
            name = str(value)
        if name not in ids or not name.strip():
            raise _unusable(rows, column, index, value, names)
        found.append(ids[name])
    return found


def _unusable(rows: Rows, column: str, index: int, value: Any, names: Sequence[str]) -> Exception:
    where = f"column '{column}' in {rows.name_row(index)}"
    if not str(value).strip():
        return data_error("ValueMissing", f"{where} is empty", "fill it in or drop the row")
    if value == -1:
        return data_error("NotLabelled", f"{where} is -1, which means not labelled", "use a split that has labels")
    return data_error(
        "UnknownLabel",
        f"{where} has the label '{value}', which the training rows do not have; they have {listed(names)}",
        "train on rows that have each label, or drop such rows",
    )


def _checked_feature(rows: Rows, column: str) -> Any:
    feature = rows.dataset.features[column]
    if isinstance(feature, datasets.ClassLabel):
        return feature
    kind = kind_of(feature)
    if kind in ("text", "bool") or kind.startswith(("int", "uint")):
        return feature
    raise data_error(
        "ColumnType",
        f"column '{column}' of split '{rows.split}' holds {kind}, which cannot be a class ({example(rows, column)})",
        "labels are strings, whole numbers or a ClassLabel",
    )
