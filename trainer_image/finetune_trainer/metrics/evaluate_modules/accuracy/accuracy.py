"""Share of the predictions that are right."""

from typing import Any

import datasets
import evaluate
import numpy as np


class Accuracy(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        one = datasets.Value("int64")
        ids = datasets.List(one) if self.config_name == "multilabel" else one
        return evaluate.MetricInfo(
            description="Share of the predictions that are right, from 0 to 1.",
            citation="",
            inputs_description="predictions and references: class ids; with config multilabel 0 or 1 for each class.",
            features=datasets.Features({"predictions": ids, "references": ids}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        right = np.asarray(references) == np.asarray(predictions)
        return {"accuracy": float(np.mean(right if right.ndim == 1 else right.all(axis=1)))}
