"""chrF of a whole set of texts, from 0 to 100: sequences of up to six characters that texts have in common."""

from typing import Any

import datasets
import evaluate
from sacrebleu.metrics.chrf import CHRF


class Chrf(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="chrF of all texts together, from 0 to 100, as sacrebleu has it (chrF2). It needs no words, so "
            "it is the same for every script.",
            citation="",
            inputs_description="predictions and references: texts, one reference each.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"chrf": float(CHRF().corpus_score(list(predictions), [list(references)]).score)}
