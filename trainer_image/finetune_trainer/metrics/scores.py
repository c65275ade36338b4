"""Metrics of the `evaluate` library, from modules that the image carries: `evaluate.load` by name would download them."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_api.training import Evaluation, Metric
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.hidden_packages import hidden
from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.base.text import listed
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.metrics.class_counts import ClassCounts, of_entities

with hidden("scipy"):  # for confidence intervals of scores, which nobody asks for here
    import evaluate

_MODULES = Path(__file__).parent / "evaluate_modules"
_AVERAGED = ("f1", "precision", "recall")


def chosen_metrics(settings: Evaluation, what: str, fitting: Sequence[Metric], default: Sequence[Metric]) -> list[str]:
    """The metrics to compute: those of the settings, or else `default`, and bestMetric with them.

    Args:
        what: What is learnt, for the message, such as `regression`.
        fitting: All that can be computed for it.

    Raises:
        TrainerError: BAD_CONFIGURATION for a metric that is not among `fitting`.
    """
    names: list[str] = [*(default if settings.metrics is None else settings.metrics)]
    if settings.best_metric not in (None, "loss", *names):
        names.append(str(settings.best_metric))
    if unfit := [name for name in names if name not in fitting]:
        raise bad_configuration(
            f"evaluation.metrics: {listed(unfit)} cannot be computed for {what}; its metrics are {listed(fitting)}",
            "choose among these, or leave evaluation.metrics out",
        )
    return names


class ClassScores:
    """Metrics over class ids of shape (rows,), or, with `several`, over 0 and 1 of shape (rows, classes).

    f1, precision and recall are those of class 1 where a row has one of two classes, else the mean over classes. With
    `several`, accuracy is the share of rows whose classes are all right.
    """

    def __init__(
        self, names: Sequence[str], classes: int, several: bool = False, labels: Sequence[str] | None = None
    ) -> None:
        """`labels` are what the classes are called; by their numbers if left out."""
        self._metrics = {name: load_metric(name, "multilabel" if several else None) for name in names}
        self._average = "binary" if classes == 2 and not several else "macro"
        self._counts = ClassCounts(labels or [str(number) for number in range(classes)], several)

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        self._counts.add(predictions, references)
        for metric in self._metrics.values():
            metric.add_batch(predictions=predictions.astype(np.int64), references=references.astype(np.int64))

    def compute(self, loss: float) -> dict[str, float]:
        computed: dict[str, float] = {}
        for name, metric in self._metrics.items():
            options: dict[str, Any] = {"average": self._average} if name in _AVERAGED else {}
            computed |= metric.compute(**options)
        return {name: float(value) for name, value in computed.items()}

    def by_class(self) -> ByClass:
        return self._counts.by_class()


class NumberScores:
    """Metrics over numbers of shape (rows,); not numbers themselves where a prediction is none, which scikit-learn refuses."""

    def __init__(self, names: Sequence[str]) -> None:
        self._metrics = {name: load_metric(name) for name in names}
        self._finite = True

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        self._finite &= bool(np.isfinite(predictions.astype(np.float64)).all())
        for metric in self._metrics.values():
            metric.add_batch(predictions=predictions, references=references)

    def compute(self, loss: float) -> dict[str, float]:
        if not self._finite:
            return dict.fromkeys(self._metrics, math.nan)
        return {name: float(metric.compute()[name]) for name, metric in self._metrics.items()}

    def by_class(self) -> None:
        return None


class EntityScores:
    """Metrics over entities, by seqeval, from tag ids of shape (rows, tokens). References of -100 are left out."""

    def __init__(self, names: Sequence[str], tags: Sequence[str]) -> None:
        self._names = names
        self._tags = np.array(tags, dtype=object)
        self._metric = load_metric("seqeval")
        self._types: dict[str, dict[str, float]] = {}

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        scored = references != IGNORED_LABEL
        self._metric.add_batch(
            predictions=[list(self._tags[row[kept]]) for row, kept in zip(predictions, scored, strict=True)],
            references=[list(self._tags[row[kept]]) for row, kept in zip(references, scored, strict=True)],
        )

    def compute(self, loss: float) -> dict[str, float]:
        computed = self._metric.compute()
        self._types = computed["types"]
        return {name: float(computed[f"overall_{name}"]) for name in self._names}

    def by_class(self) -> ByClass:
        """Of each type of entity."""
        return of_entities(self._types)


class WordScores:
    """`ClassScores` over the tags of all words, from tag ids of shape (rows, tokens). References of -100 are left out."""

    def __init__(self, names: Sequence[str], tags: int, labels: Sequence[str] | None = None) -> None:
        self._scores = ClassScores(names, tags, labels=labels)

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        scored = references != IGNORED_LABEL
        self._scores.add_batch(predictions[scored], references[scored])

    def compute(self, loss: float) -> dict[str, float]:
        return self._scores.compute(loss)

    def by_class(self) -> ByClass:
        return self._scores.by_class()


def load_metric(name: str, config: str | None = None) -> Any:
    """A fresh metric of the `evaluate` library, to which batches can be added.

    Args:
        config: `multilabel` where a row can have several classes.
    """
    metric = _metric_class(name)(config_name=config, keep_in_memory=True)
    metric.download_and_prepare()  # which imports what it is made of
    return metric


@cache
def _metric_class(name: str) -> Any:
    """What the library finds in the module. It copies the module each time, into its cache, which takes longer than most evaluations' scores."""
    return type(evaluate.load(str(_MODULES / name), keep_in_memory=True))
