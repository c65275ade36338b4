"""How well predictions and references lie on a line, from -1 to 1 (Pearson)."""

from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.stats import pearsonr


class Pearson(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="How well predictions and references lie on a line, from -1 to 1 (Pearson).",
            citation="",
            inputs_description="predictions and references: numbers, one a row.",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return {"pearsonr": 0.0}  # nothing goes along with a constant, and one row alone is one
        return {"pearsonr": float(pearsonr(references, predictions).statistic)}
