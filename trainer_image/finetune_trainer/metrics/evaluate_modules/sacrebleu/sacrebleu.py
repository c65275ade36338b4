"""BLEU of a whole set of texts, from 0 to 100, comparable between papers."""

from typing import Any

import datasets
import evaluate
import sacrebleu


class Sacrebleu(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="BLEU of all texts together, from 0 to 100, with sacrebleu's own tokens (13a).",
            citation="",
            inputs_description="predictions and references: texts, one reference each.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"sacrebleu": float(sacrebleu.corpus_bleu(list(predictions), [list(references)]).score)}
