"""Share of words, pairs of words and sequences of words that two texts have in common."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from finetune_trainer.metrics.words import WordStems, words


class Rouge(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Words (rouge1), pairs of words (rouge2) and the longest common sequence of words (rougeL) that "
            "texts have in common: F-measure, mean over the texts, from 0 to 1. Words are of any script; single "
            "characters where it has no spaces. Texts of one word have no pairs: their rouge2 is rouge1.",
            citation="",
            inputs_description="predictions and references: texts; rouge_types: which of rouge1, rouge2 and rougeL.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Any, references: Any, rouge_types: Sequence[str]) -> dict[str, float]:
        # Endings of English words are cut off, as is usual for summaries.
        scorer = RougeScorer(sorted({*rouge_types, "rouge1"}), tokenizer=WordStems())
        scores = [scorer.score(reference, text) for reference, text in zip(references, predictions, strict=True)]
        if "rouge2" in rouge_types:
            for score, *texts in zip(scores, references, predictions, strict=True):
                if max(len(words(text)) for text in texts) == 1:
                    score["rouge2"] = score["rouge1"]
        return {kind: float(np.mean([score[kind].fmeasure for score in scores])) for kind in rouge_types}
