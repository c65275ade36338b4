"""Share of words, pairs of words and sequences of words that two texts have in common."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from rouge_score.rouge_scorer import RougeScorer


class Rouge(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Words (rouge1), pairs of words (rouge2) and the longest common sequence of words (rougeL) that "
            "texts have in common: F-measure, mean over the texts, from 0 to 1.",
            citation="",
            inputs_description="predictions and references: texts; rouge_types: which of rouge1, rouge2 and rougeL.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Any, references: Any, rouge_types: Sequence[str]) -> dict[str, float]:
        # Endings of English words are cut off, as is usual for summaries; words are of a-z and 0-9, here as everywhere.
        scorer = RougeScorer(list(rouge_types), use_stemmer=True)
        scores = [scorer.score(reference, text) for reference, text in zip(references, predictions, strict=True)]
        return {kind: float(np.mean([score[kind].fmeasure for score in scores])) for kind in rouge_types}
