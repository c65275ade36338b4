"""Harmonic mean of precision and recall, from 0 to 1."""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import f1_score


class F1(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        one = datasets.Value("int64")
        ids = datasets.List(one) if self.config_name == "multilabel" else one
        return evaluate.MetricInfo(
            description="Harmonic mean of precision and recall, from 0 to 1.",
            citation="",
            inputs_description="predictions and references: class ids; with config multilabel 0 or 1 for each class; average as in scikit-learn.",
            features=datasets.Features({"predictions": ids, "references": ids}),
        )

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        # A class that is never predicted counts as 0, without a warning for each evaluation.
        return {
            "f1": float(f1_score(np.asarray(references), np.asarray(predictions), average=average, zero_division=0))
        }
