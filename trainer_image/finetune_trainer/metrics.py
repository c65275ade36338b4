"""Metrics of the `evaluate` library, from modules that the image carries: `evaluate.load` by name would download them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import numpy.typing as npt

_MODULES = Path(__file__).parent / "evaluate_modules"
_AVERAGED = ("f1", "precision", "recall")


class ClassScores:
    """Metrics over class ids of shape (rows,).

    f1, precision and recall are those of class 1 where there are two classes, else the mean over classes.
    """

    def __init__(self, names: Sequence[str], classes: int) -> None:
        self._metrics = {name: load_metric(name) for name in names}
        self._average = "binary" if classes == 2 else "macro"

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        for metric in self._metrics.values():
            metric.add_batch(predictions=predictions, references=references)

    def compute(self, loss: float) -> dict[str, float]:
        computed: dict[str, float] = {}
        for name, metric in self._metrics.items():
            options: dict[str, Any] = {"average": self._average} if name in _AVERAGED else {}
            computed |= metric.compute(**options)
        return {name: float(value) for name, value in computed.items()}


def load_metric(name: str) -> Any:
    """A fresh metric of the `evaluate` library, to which batches can be added."""
    return evaluate.load(str(_MODULES / name), keep_in_memory=True)
