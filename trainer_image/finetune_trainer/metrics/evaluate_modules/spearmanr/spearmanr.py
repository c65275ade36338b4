"""How well predictions are in the order of the references, from -1 to 1 (Spearman)."""

from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.stats import spearmanr


class Spearman(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="How well predictions are in the order of the references, from -1 to 1 (Spearman).",
            citation="",
            inputs_description="predictions and references: numbers, one a row.",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return {"spearmanr": 0.0}  # nothing goes along with a constant, and one row alone is one
        return {"spearmanr": float(spearmanr(references, predictions).statistic)}
