"""Precision, recall and f1 of entities, and accuracy of tags, as the seqeval library counts them."""

from typing import Any

import datasets
import evaluate
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score


class Seqeval(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.List(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="Precision, recall and f1 over whole entities of all types, and the share of tags that are right.",
            citation="",
            inputs_description="predictions and references: a list of tags such as B-PER, I-PER and O for each row.",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        # Where there is no entity the scores are 0, without a warning for each evaluation.
        return {
            "overall_precision": float(precision_score(references, predictions, zero_division=0)),
            "overall_recall": float(recall_score(references, predictions, zero_division=0)),
            "overall_f1": float(f1_score(references, predictions, zero_division=0)),
            "overall_accuracy": float(accuracy_score(references, predictions)),
        }
