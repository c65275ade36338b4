"""Counts the predictions of each class, batch by batch."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.by_class import ByClass, Confusion

MOST_CLASSES = 1000
"""Of more classes, those with the most support are reported."""
MATRIX = 20
"""Up to so many classes have a whole confusion matrix, and more the most frequent mistakes."""
MISTAKES = 100
_DIGITS = 6

Array = npt.NDArray[np.generic]


class ClassCounts:
    """Of class ids of shape (rows,), or, with `several`, of 0 and 1 of shape (rows, classes)."""

    def __init__(self, names: Sequence[str], several: bool) -> None:
        self._names, self._several = names, several
        self._right, self._given, self._wanted = np.zeros((3, len(names)), np.int64)
        self._pairs: Counter[int] = Counter()

    def add(self, predictions: Array, references: Array) -> None:
        given, wanted, count = predictions.astype(np.int64), references.astype(np.int64), len(self._names)
        if self._several:
            self._right += (given * wanted).sum(axis=0)
            self._given += given.sum(axis=0)
            self._wanted += wanted.sum(axis=0)
            return
        self._right += np.bincount(wanted[given == wanted], minlength=count)
        self._given += np.bincount(given, minlength=count)
        self._wanted += np.bincount(wanted, minlength=count)
        pairs, numbers = np.unique(wanted * count + given, return_counts=True)
        self._pairs.update(dict(zip(pairs.tolist(), numbers.tolist(), strict=True)))

    def by_class(self) -> ByClass:
        """As scikit-learn counts, with 0 where a class was never given or wanted."""
        precision, recall = _share(self._right, self._given), _share(self._right, self._wanted)
        f1 = _share(2 * self._right, self._given + self._wanted)
        found = bounded(self._names, precision, recall, f1, self._wanted)
        count = len(self._names)
        if self._several:
            return found
        if count <= MATRIX:
            matrix = [[self._pairs[wanted * count + given] for given in range(count)] for wanted in range(count)]
            return found.model_copy(update={"confusion": matrix})
        mistakes = Counter({pair: times for pair, times in self._pairs.items() if pair // count != pair % count})
        most = [
            Confusion(wanted=self._names[pair // count], given=self._names[pair % count], count=times)
            for pair, times in mistakes.most_common(MISTAKES)
        ]
        return found.model_copy(update={"mistakes": most})


def of_entities(types: Mapping[str, Mapping[str, float]]) -> ByClass:
    """From what seqeval finds of each type: precision, recall, f1 and number. A type without a name is called entity."""

    def all_of(key: str) -> npt.NDArray[np.float64]:
        return np.array([found[key] for found in types.values()], np.float64)

    names = ["entity" if name == "_" else name for name in types]
    return bounded(names, all_of("precision"), all_of("recall"), all_of("f1"), all_of("number").astype(np.int64))


def bounded(
    names: Sequence[str],
    precision: npt.NDArray[np.float64],
    recall: npt.NDArray[np.float64],
    f1: npt.NDArray[np.float64],
    support: npt.NDArray[np.int64],
) -> ByClass:
    """With no more classes than are reported."""
    kept = np.sort(np.argsort(-support, kind="stable")[:MOST_CLASSES])
    return ByClass(
        names=[names[index] for index in kept],
        precision=precision[kept].round(_DIGITS).tolist(),
        recall=recall[kept].round(_DIGITS).tolist(),
        f1=f1[kept].round(_DIGITS).tolist(),
        support=support[kept].tolist(),
        left_out=len(names) - len(kept),
    )


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return part / np.maximum(whole, 1)
