"""Precision, recall and f1 of entities, and accuracy of tags, as the seqeval library counts them."""

from typing import Any

import datasets
import evaluate
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support


class Seqeval(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.List(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="Precision, recall and f1 over whole entities, of all types together and of each, and the share of tags that are right.",
            citation="",
            inputs_description="predictions and references: a list of tags such as B-PER, I-PER and O for each row.",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        # Where there is no entity the scores are 0, without a warning for each evaluation.
        return {
            "overall_precision": float(precision_score(references, predictions, zero_division=0)),
            "overall_recall": float(recall_score(references, predictions, zero_division=0)),
            "overall_f1": float(f1_score(references, predictions, zero_division=0)),
            "overall_accuracy": float(accuracy_score(references, predictions)),
            "types": _by_type(references, predictions),
        }


def _by_type(references: Any, predictions: Any) -> dict[str, dict[str, float]]:
    """By the name of each type: its precision, recall and f1, and the number of such entities among the references."""
    types = sorted({kind for tags in (references, predictions) for kind, _, _ in get_entities(tags)})
    values = precision_recall_fscore_support(references, predictions, average=None, zero_division=0)
    return {
        kind: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "number": int(number)}
        for kind, precision, recall, f1, number in zip(types, *values, strict=True)
    }
