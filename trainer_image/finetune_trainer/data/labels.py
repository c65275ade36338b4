"""What rows are labelled with: one class, several classes, or a number; and what the classes are called."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import datasets

from finetune_api.plain_numbers import plain_number
from finetune_api.reasons import Reason
from finetune_api.sources import Problem
from finetune_api.training import METRICS_OF_PROBLEM
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import did_you_mean, is_blank, listed
from finetune_trainer.data.columns import example, kind_of
from finetune_trainer.data.rows import Rows

_LISTS = (datasets.List, datasets.LargeList)
_MOST_FLOATS = 20
"""So many different whole numbers are taken as classes where a column holds floats, as a table with gaps makes of ids."""

_MARKS_AS_TEXT = ({"0", "1"}, {"0.0", "1.0"}, {"false", "true"})


@dataclass(frozen=True)
class Several:
    """Classes of which a row can have none, one or more."""

    names: list[str]
    marked: bool
    """Whether a row holds 0 or 1 for each class, and not the classes that it has."""


def problem_of(rows: Rows, column: str, wanted: Problem | None, metrics: Collection[str] = ()) -> Problem:
    """What is predicted: as `wanted`, else by what the column holds. Warns where floats may be meant either way.

    Args:
        metrics: Those that are asked for: who asks for the error of a number means whole numbers as such.
    """
    if wanted:
        return wanted
    feature = rows.dataset.features[column]
    if isinstance(feature, _LISTS):
        return "multi_label_classification"
    numbers_asked = bool({*metrics} & {*METRICS_OF_PROBLEM["regression"]})
    if not kind_of(feature).startswith("float"):
        meant = numbers_asked and _are_numbers(rows, column)
        return "regression" if meant else "single_label_classification"
    values = set(rows.dataset[column][:])
    if not all(map(float.is_integer, values)):
        return "regression"
    if numbers_asked:
        return "regression"
    classes = 1 < len(values) <= _MOST_FLOATS
    taken, other = ("classes", "regression") if classes else ("numbers to learn", "single_label_classification")
    warn(
        Reason.WHOLE_NUMBERS,
        f"column '{column}' of split '{rows.split}' holds floats that are all whole, {len(values)} different ones from "
        f"{min(values):g} to {max(values):g}: they are taken as {taken}. Set model.problemType to what they are; if "
        f"this is not meant, to {other}",
    )
    return "single_label_classification" if classes else "regression"


def _are_numbers(rows: Rows, column: str) -> bool:
    """Whether a column of no floats holds whole numbers, or numbers in quotes."""
    kind = kind_of(rows.dataset.features[column])
    return kind.startswith(("int", "uint")) or (
        kind == "text" and None not in map(plain_number, rows.dataset[column][:])
    )


def label_names(rows: Rows, column: str, known: Sequence[str] = ()) -> list[str]:
    """The classes' names in the order of their ids, from the training rows: those of a ClassLabel, else the distinct values.

    The column holds a class for each row, or a list of them. A model that has a head for these very classes, `known` in
    the order of their ids, goes on with it: then theirs is the order.

    Raises:
        TrainerError: DATA when the column cannot be a class, or has fewer than two.
    """
    feature = _class_feature(rows, column)
    if isinstance(feature, datasets.ClassLabel):
        names = list(feature.names)
    else:
        # Dataset.unique would write a file beside the data.
        names = [_name(value) for value in sorted(set(_entries(rows, column)) - {IGNORED_LABEL})]
    _check_two(rows, column, names)
    return list(known) if sorted(known) == sorted(names) else names


def label_ids(rows: Rows, column: str, names: Sequence[str]) -> list[int]:
    """The id of each row's class.

    Raises:
        TrainerError: DATA, naming the row, for a label that is not among `names`.
    """
    if isinstance(rows.dataset.features[column], _LISTS):
        raise _not_a_class(rows, column)
    find = _finder(_class_feature(rows, column), names)
    return [_id(find, rows, column, index, value, names) for index, value in enumerate(rows.dataset[column][:])]


def check_lists(rows: Rows, column: str) -> None:
    """The column must hold lists.

    Raises:
        TrainerError: DATA, with what it holds.
    """
    feature = rows.dataset.features[column]
    if not isinstance(feature, _LISTS):
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{column}' of split '{rows.split}' holds {kind_of(feature)}, and a list is needed ({example(rows, column)})",
            "csv files cannot hold lists: use jsonl or parquet",
        )


def label_id_lists(rows: Rows, column: str, names: Sequence[str]) -> list[list[int]]:
    """The ids of each row's list of classes, in its order.

    Raises:
        TrainerError: DATA when the column holds no lists; naming the row, for a label that is not among `names`.
    """
    check_lists(rows, column)
    find = _finder(_class_feature(rows, column), names)
    return [
        [_id(find, rows, column, index, value, names) for value in values]
        for index, values in enumerate(rows.dataset[column][:])
    ]


def several_labels(rows: Rows, column: str, known: Sequence[str] = ()) -> Several:
    """The classes of a column of lists, from the training rows; `known` as for `label_names`.

    Lists of 0 and 1, all of one length, mark each class; so do lists of booleans and of floats. Their classes are
    called 0, 1, …

    Raises:
        TrainerError: DATA when the column holds no lists of classes, or has fewer than two.
    """
    check_lists(rows, column)
    feature = rows.dataset.features[column]
    kind = kind_of(feature.feature)
    lists = rows.dataset[column][:]
    if kind.startswith("float") and _ids_as_floats(lists):
        warn(
            Reason.WHOLE_NUMBERS,
            f"column '{column}' holds lists of floats that are all whole: they are taken as classes",
        )
    elif kind.startswith("float") or kind == "bool" or _marks(kind, lists):
        names = [str(number) for number in range(max(map(len, lists)))]
        _check_two(rows, column, names)
        return Several(names, marked=True)
    elif (uneven := _uneven_marks(kind, lists)) is not None:
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{column}' holds 0 and 1 as marks, and not as many in each row: {len(lists[0])} in {rows.name_row(0)}, "
            f"{len(lists[uneven])} in {rows.name_row(uneven)}",
            "write a mark for each class in each row, or lists of the classes that a row has, each once",
        )
    elif kind == "text" and _marks_as_text(lists):
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{column}' of split '{rows.split}' holds lists of marks that are written as text ({example(rows, column)})",
            "write a mark for each class as a number (0, 1) or as true and false, without quotes",
        )
    return Several(label_names(rows, column, known), marked=False)


def several_vectors(rows: Rows, column: str, classes: Several) -> list[list[float]]:
    """For each row 1.0 or 0.0 for each class, as transformers' multi-label loss takes it.

    Raises:
        TrainerError: DATA, naming the row, for a label that the training rows do not have.
    """
    if classes.marked:
        values = enumerate(rows.dataset[column][:])
        return [_marked(rows, column, index, value, len(classes.names)) for index, value in values]
    count = range(len(classes.names))
    lists = label_id_lists(rows, column, classes.names)
    return [[1.0 if number in ids else 0.0 for number in count] for ids in map(set, lists)]


def names_its_classes(rows: Rows, column: str) -> bool:
    """Whether the column is of ClassLabels or lists of them."""
    feature = rows.dataset.features[column]
    return isinstance(feature.feature if isinstance(feature, _LISTS) else feature, datasets.ClassLabel)


def _check_two(rows: Rows, column: str, names: Sequence[str]) -> None:
    if len(names) < 2:
        only = f"only the label '{names[0]}'" if names else "no label"
        raise data_error(
            Reason.ONE_LABEL,
            f"column '{column}' has {only} in split '{rows.split}'; it takes two to tell apart",
            "take more rows, or another column; a slice of rows that are sorted by label has one class only, where "
            "`samples` of the whole split has all",
        )


def _entries(rows: Rows, column: str) -> Iterable[Any]:
    values = rows.dataset[column][:]
    return chain.from_iterable(values) if isinstance(rows.dataset.features[column], _LISTS) else values


def _marks(kind: str, lists: list[list[int]]) -> bool:
    lengths = {len(values) for values in lists}
    return kind.startswith(("int", "uint")) and len(lengths) == 1 and min(lengths) > 1 and {*chain(*lists)} <= {0, 1}


def _uneven_marks(kind: str, lists: list[list[int]]) -> int | None:
    """The first row that has another number of marks than the first, where numbers are no classes: some row has one twice."""
    if not kind.startswith(("int", "uint")) or not {*chain(*lists)} <= {0, 1}:
        return None
    twice = any(len(set(values)) < len(values) for values in lists)
    return next((index for index, values in enumerate(lists) if twice and len(values) != len(lists[0])), None)


def _marks_as_text(lists: list[list[str]]) -> bool:
    """Lists of one length, of nothing but two words for yes and no, of which some list has one twice."""
    words = {text.strip().casefold() for text in chain(*lists)}
    twice = any(len(set(values)) < len(values) for values in lists)
    return twice and len({*map(len, lists)}) == 1 and any(words <= marks for marks in _MARKS_AS_TEXT)


def _ids_as_floats(lists: list[list[float]]) -> bool:
    """Marks are 0 and 1; what is above, and whole, is the number of a class."""
    values = {*chain(*lists)}
    return not values <= {0, 1} and all(map(float.is_integer, values))


def _marked(rows: Rows, column: str, index: int, values: Any, classes: int) -> list[float]:
    if not isinstance(values, list) or len(values) != classes or not {*values} <= {0, 1}:
        raise data_error(
            Reason.UNKNOWN_LABEL,
            f"column '{column}' in {rows.name_row(index)} holds {values!r:.80}; the training rows have 0 or 1 for each "
            f"of {classes} classes",
            "give each row as many zeros and ones, or lists of names",
        )
    return [float(value) for value in values]


def _finder(feature: Any, names: Sequence[str]) -> Callable[[Any], int | None]:
    """From a value of the column to the id of its class among `names`; by name, since two splits may count apart."""
    ids = {name: number for number, name in enumerate(names)}
    if isinstance(feature, datasets.ClassLabel):
        own = dict(enumerate(feature.names))
        return lambda value: ids.get(own.get(value, ""))
    return lambda value: ids.get(_name(value)) if not is_blank(str(value)) else None


def _name(value: Any) -> str:
    """What a class is called that has no name of its own: by number, without the fraction that a float shows."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _id(
    find: Callable[[Any], int | None], rows: Rows, column: str, index: int, value: Any, names: Sequence[str]
) -> int:
    found = find(value)
    if found is not None:
        return found
    where = f"column '{column}' in {rows.name_row(index)}"
    if is_blank(str(value)):
        raise data_error(Reason.VALUE_MISSING, f"{where} is empty", "fill it in or drop the row")
    if value == -1:
        raise data_error(Reason.NOT_LABELLED, f"{where} is -1, which means not labelled", "use a split that has labels")
    if value == IGNORED_LABEL:
        raise data_error(
            Reason.NOT_LABELLED,
            f"{where} has {value}, by which losses leave out what has no label",
            "drop rows without a label; where words have tags, give each one, also where it is of no entity (O): which of its "
            "tokens are learnt is decided here",
        )
    raise data_error(
        Reason.UNKNOWN_LABEL,
        f"{where} has the label '{value}', which the training rows do not have; they have {listed(names)}"
        f"{did_you_mean(str(value), names)}",
        "train on rows that have each label, or drop such rows",
    )


def _class_feature(rows: Rows, column: str) -> Any:
    """The type of a class: of the column, or of what its lists hold."""
    feature = rows.dataset.features[column]
    inner = feature.feature if isinstance(feature, _LISTS) else feature
    kind = kind_of(inner)
    if isinstance(inner, datasets.ClassLabel) or kind in ("text", "bool", "null") or kind.startswith(("int", "uint")):
        return inner
    if kind.startswith("float"):
        _check_whole(rows, column)
        return inner
    raise _not_a_class(rows, column)


def _check_whole(rows: Rows, column: str) -> None:
    for index, value in enumerate(rows.dataset[column][:]):
        broken = [entry for entry in (value if isinstance(value, list) else [value]) if not entry.is_integer()]
        if broken:
            raise data_error(
                Reason.COLUMN_TYPE,
                f"column '{column}' in {rows.name_row(index)} holds {broken[0]}, which cannot be a class",
                "labels are strings, whole numbers or a ClassLabel; numbers are learnt with model.problemType: regression",
            )


def _not_a_class(rows: Rows, column: str) -> TrainerError:
    kind = kind_of(rows.dataset.features[column])
    return data_error(
        Reason.COLUMN_TYPE,
        f"column '{column}' of split '{rows.split}' holds {kind}, which cannot be a class ({_odd_example(rows, column)})",
        _how_classes_are_written(rows, column),
    )


def _how_classes_are_written(rows: Rows, column: str) -> str:
    feature = rows.dataset.features[column]
    if isinstance(feature, dict):
        within = listed([f"{column}.{name}" for name in feature], 4)
        return (
            f"labels are strings, whole numbers or a ClassLabel; what is within a column is named with a dot: {within}"
        )
    return "labels are strings, whole numbers or a ClassLabel"


def _odd_example(rows: Rows, column: str) -> str:
    """The first row that holds a value of another type than those before it; where all are of one type, the first row."""
    lists = [value if isinstance(value, list) else [value] for value in rows.dataset[column][:]]
    kinds = [(index, type(entry)) for index, entries in enumerate(lists) for entry in entries]
    return example(rows, column, next((index for index, kind in kinds if kind is not kinds[0][1]), 0))
