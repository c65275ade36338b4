"""Warns of classes that are odd: each is learnt as it is."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed, seen
from finetune_trainer.data.class_names import NUMBER, fraction_as_text, look_of, number_in_writing, several_in_one
from finetune_trainer.data.labels import names_its_classes
from finetune_trainer.data.rows import Rows

_MANY = 20
"""Up to so many classes are not thought to be too many for any number of rows."""
_FROM_ALL = "take rows of the whole split with `samples`, which takes them at random, or shuffle the file"


@dataclass(frozen=True)
class Labels:
    """What some rows are labelled with."""

    rows: Rows
    each: Sequence[Any]
    """Of each row: its class id, a list of ids, or a list of 1.0 and 0.0 for each class."""

    @property
    def single(self) -> bool:
        """Whether each row has exactly one class."""
        return not isinstance(self.each[0], list)

    @cached_property
    def lists(self) -> list[npt.NDArray[np.int64]]:
        """The class ids of each row."""
        if self.single:
            return list(np.array(self.each, np.int64)[:, None])
        marked = any(isinstance(row[0], float) for row in self.each if row)
        return [np.flatnonzero(row) if marked else np.array(row, np.int64) for row in self.each]

    @cached_property
    def ids(self) -> npt.NDArray[np.int64]:
        """Of all rows, one after the other."""
        return np.array(self.each, np.int64) if self.single else np.concatenate(self.lists)

    @property
    def present(self) -> npt.NDArray[np.int64]:
        """The ids that some row has, in order."""
        return np.unique(self.ids)

    def first_row(self, number: int) -> str:
        """How to call the first row of a class."""
        return self.rows.name_row(next(index for index, ids in enumerate(self.lists) if number in ids))


def warn_of_odd_classes(
    column: str, names: Sequence[str], train: Labels, evaluation: Labels | None, in_order: bool = False
) -> None:
    """Warn of classes that are probably not meant so.

    Args:
        names: Of the classes, in the order of their ids.
        in_order: Whether rows are learnt in the order of the file.
    """
    declared = names_its_classes(train.rows, column)
    found = chain(
        _one_class(names, train, evaluation),
        _absent(names, train, evaluation),
        _alike(names, train),
        _numbers_and_words(names, train),
        _numbers(names, train, declared),
        _several_in_one(names, train),
        _many(names, train, declared),
        _sorted(names, train, in_order),
        _sorted(names, evaluation, False) if evaluation else (),
    )
    for reason, message in found:
        warn(reason, f"column '{column}': {message}")


def _one_class(names: Sequence[str], train: Labels, evaluation: Labels | None) -> Iterator[tuple[Reason, str]]:
    if len(train.present) == 1:
        yield (
            Reason.ONE_CLASS,
            f"all {len(train.ids)} labels of split '{train.rows.split}' are '{names[train.present[0]]}', of the classes "
            f"{listed(names)}: nothing is learnt of telling them apart. If the rows are sorted, {_FROM_ALL}",
        )
    if evaluation and len(evaluation.present) == 1:
        yield (
            Reason.ONE_CLASS_EVALUATED,
            f"all {len(evaluation.ids)} labels of split '{evaluation.rows.split}' are '{names[evaluation.present[0]]}': its "
            f"metrics are the best for a model that always answers so. If the rows are sorted, {_FROM_ALL}",
        )


def _absent(names: Sequence[str], train: Labels, evaluation: Labels | None) -> Iterator[tuple[Reason, str]]:
    absent = np.setdiff1d(np.arange(len(names)), train.present)
    if not len(absent) or len(train.present) == 1:
        return
    met = int(np.isin(evaluation.ids, absent).sum()) if evaluation else 0
    met_in = f", and {met} labels in split '{evaluation.rows.split}' are of these" if evaluation and met else ""
    yield (
        Reason.CLASSES_WITHOUT_ROWS,
        f"no row of split '{train.rows.split}' has {listed(repr(names[number]) for number in absent)}: "
        f"such classes are not learnt{met_in}. Take more rows, or rows of the whole split",
    )


def _alike(names: Sequence[str], train: Labels) -> Iterator[tuple[Reason, str]]:
    by_key: dict[str | Decimal, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        by_key[look_of(name)].append(number)
    alike = [numbers for numbers in by_key.values() if len(numbers) > 1]
    if not alike:
        return
    counts = np.bincount(train.ids, minlength=len(names))
    groups = [
        " and ".join(f"{_shown(names[number])} ({_where(train, number, int(counts[number]))})" for number in numbers)
        for numbers in alike[:3]
    ]
    more = f"; and {len(alike) - 3} more such groups" if len(alike) > 3 else ""
    yield (
        Reason.CLASSES_ALIKE,
        f"classes that look alike are learnt as different ones: {'; '.join(groups)}{more}. Spell them in one way where they "
        "are the same",
    )


def _numbers_and_words(names: Sequence[str], train: Labels) -> Iterator[tuple[Reason, str]]:
    """Numbers up to some row and words from there on, or the other way about: probably two columns that were joined."""
    if not train.single or number_in_writing(names):
        return
    are_numbers = np.array([bool(NUMBER.fullmatch(name.strip())) for name in names])[train.ids]
    order = np.argsort(train.rows.positions, kind="stable")
    if np.count_nonzero(np.diff(are_numbers[order])) != 1:
        return
    change = order[int(np.argmax(are_numbers[order] != are_numbers[order[0]]))]
    first, kinds = order[0], ("numbers", "words") if are_numbers[order[0]] else ("words", "numbers")
    yield (
        Reason.NUMBERS_AND_WORDS,
        f"labels are {kinds[0]} ({_shown(names[train.ids[first]])} in {train.rows.name_row(int(first)).split(' (')[0]}) up to "
        f"where {kinds[1]} begin ({_shown(names[train.ids[change]])} in {train.rows.name_row(int(change)).split(' (')[0]}), and "
        "each is a class: is it the same column in all rows?",
    )


def _numbers(names: Sequence[str], train: Labels, declared: bool) -> Iterator[tuple[Reason, str]]:
    if train.single and (name := number_in_writing(names)):
        yield (
            Reason.NUMBERS_AS_CLASSES,
            f"each label is a number that is written as text, such as {_shown(name)}, and each of the {len(names)} is a class of "
            "its own. To learn how large it is, write plain numbers (1234.5)",
        )
    elif train.single and not declared and (name := fraction_as_text(names)):
        yield (
            Reason.NUMBERS_AS_CLASSES,
            f"each label is a number that is written as text, such as {_shown(name)}, and each of the {len(names)} is a class of "
            "its own. To learn how large it is, set model.problemType to regression, or write numbers without quotes",
        )


def _several_in_one(names: Sequence[str], train: Labels) -> Iterator[tuple[Reason, str]]:
    if train.single and (name := several_in_one(names)):
        yield (
            Reason.SEVERAL_IN_ONE,
            f"{_shown(name)} is learnt as a class of its own beside those that it is made of. If such a row has several classes, "
            "write a list of them for each row, in jsonl or parquet",
        )


def _where(labels: Labels, number: int, count: int) -> str:
    return f"{count}, the first in {labels.first_row(number).split(' (')[0]}" if count else "none"


def _shown(name: str) -> str:
    """In quotes, with what cannot be seen as a number: `'pos\\u200b'`, and the Unicode form where it is not the usual one."""
    return f"'{seen(name[:40])}'" + ("" if unicodedata.is_normalized("NFC", name) else " in decomposed form")


def _many(names: Sequence[str], train: Labels, declared: bool) -> Iterator[tuple[Reason, str]]:
    rows = len(train.each)
    if train.single and not declared and len(names) > _MANY and len(names) * 2 > rows:
        yield (
            Reason.MANY_CLASSES,
            f"{len(names)} classes in {rows} training rows, such as {_shown(names[0])}. If it holds an id, a text or a number, "
            "set dataset.columns.label to another column, or model.problemType to regression",
        )


def _sorted(names: Sequence[str], labels: Labels, in_order: bool) -> Iterator[tuple[Reason, str]]:
    if not _is_sorted(labels) or not (in_order or "[" in labels.rows.split):
        return
    counts = np.bincount(labels.ids, minlength=len(names))
    shares = listed(f"'{names[number]}' {counts[number]}" for number in labels.present)
    why = "batches have one class each" if in_order else "a slice has another share of each class than the rest"
    yield (
        Reason.SORTED_BY_LABEL,
        f"the rows of split '{labels.rows.split}' are sorted by it, and {why}; it has {shares}. To correct it, {_FROM_ALL}",
    )


def _is_sorted(labels: Labels) -> bool:
    """Whether equal labels follow each other in the file, and there are several classes."""
    if not labels.single or len(labels.ids) < _MANY:
        return False
    _, splits = np.unique(labels.rows.splits.astype(str), return_inverse=True)
    ids = labels.ids[np.lexsort((labels.rows.positions, splits))]
    classes = len(labels.present)
    others = len(ids) - int(np.bincount(ids).max())
    changes = int(np.count_nonzero(ids[1:] != ids[:-1]))
    return classes > 1 and others >= max(5, classes) and changes == classes - 1
