"""Metrics of the `evaluate` library, from modules that the image carries: `evaluate.load` by name would download them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import numpy.typing as npt

_MODULES = Path(__file__).parent / "evaluate_modules"
_AVERAGED = ("f1", "precision", "recall")


def compute_metrics(
    names: Sequence[str], predictions: npt.NDArray[np.int64], references: npt.NDArray[np.int64], classes: int
) -> dict[str, float]:
    """Each metric of `names` over class ids of shape (rows,).

    f1, precision and recall are those of class 1 where there are two classes, else the mean over classes.
    """
    average = "binary" if classes == 2 else "macro"
    computed: dict[str, float] = {}
    for name in names:
        options: dict[str, Any] = {"average": average} if name in _AVERAGED else {}
        computed |= _load(name).compute(predictions=predictions, references=references, **options)
    return {name: float(value) for name, value in computed.items()}


def _load(name: str) -> Any:
    return evaluate.load(str(_MODULES / name), keep_in_memory=True)
