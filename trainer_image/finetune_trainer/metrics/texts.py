"""Texts that a model wrote, compared with those that were wanted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.metrics.scores import load_metric

_ROUGE = ("rouge1", "rouge2", "rougeL")


class TextScores:
    """rouge1, rouge2, rougeL, sacrebleu and chrf over token ids of shape (rows, tokens), padded with -100."""

    def __init__(self, names: Sequence[str], tokenizer: Tokenizer, bleu_tokenizer: str | None = None) -> None:
        """`bleu_tokenizer` is that of sacrebleu, such as `zh`; if left out, it goes by the script of the references."""
        self._tokenizer = tokenizer
        rouge = [name for name in names if name in _ROUGE]
        self._options: dict[str, dict[str, Any]] = {
            "rouge": {"rouge_types": rouge},
            "sacrebleu": {"tokenize": bleu_tokenizer},
        }
        self._metrics = {name: load_metric(name) for name in dict.fromkeys(_module(name) for name in names)}

    def add_batch(self, predictions: npt.NDArray[np.generic], references: npt.NDArray[np.generic]) -> None:
        written, wanted = self._texts(predictions), self._texts(references)
        for metric in self._metrics.values():
            metric.add_batch(predictions=written, references=wanted)

    def compute(self, loss: float) -> dict[str, float]:
        computed: dict[str, float] = {}
        for name, metric in self._metrics.items():
            computed |= metric.compute(**self._options.get(name, {}))
        return computed

    def by_class(self) -> None:
        return None

    def _texts(self, ids: npt.NDArray[np.generic]) -> list[str]:
        filled = np.where(ids == IGNORED_LABEL, self._tokenizer.pad_token_id, ids)
        return [text.strip() for text in self._tokenizer.batch_decode(filled, skip_special_tokens=True)]


def _module(metric: str) -> str:
    return "rouge" if metric in _ROUGE else metric
