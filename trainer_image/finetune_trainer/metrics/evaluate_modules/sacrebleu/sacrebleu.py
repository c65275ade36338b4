"""BLEU of a whole set of texts, from 0 to 100, comparable between papers."""

from typing import Any

import datasets
import evaluate
from sacrebleu.metrics.bleu import BLEU

from finetune_trainer.metrics.words import bleu_tokenizer


class Sacrebleu(evaluate.Metric):  # type: ignore[misc]
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="BLEU of all texts together, from 0 to 100, with the tokens of sacrebleu (13a for most "
            "scripts), in sequences of up to four, or as many as the longest reference has.",
            citation="",
            inputs_description="predictions and references: texts, one reference each; tokenize: the name of a tokenizer of "
            "sacrebleu; if left out, the one for the script of the references.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Any, references: Any, tokenize: str | None = None) -> dict[str, float]:
        tokenize = tokenize or bleu_tokenizer(references)
        usual = BLEU(tokenize=tokenize)
        # Where all texts are shorter than four words, the usual score is 0 whatever is written.
        longest = max(len(usual.tokenizer(text).split()) for text in references)
        order = min(usual.max_ngram_order, max(longest, 1))
        bleu = BLEU(tokenize=tokenize, max_ngram_order=order)
        return {"sacrebleu": float(bleu.corpus_score(list(predictions), [list(references)]).score)}
