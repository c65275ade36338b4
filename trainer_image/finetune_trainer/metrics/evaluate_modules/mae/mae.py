"""Mean of the differences without their signs."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import mean_absolute_error


class MeanAbsoluteError(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Mean of the differences without their signs.",
            citation="",
            inputs_description="predictions and references: numbers, one a row.",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mae": float(mean_absolute_error(references, predictions))}
