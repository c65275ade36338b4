"""Scores of language models: of the next token, and of texts that were written."""

import math

import numpy as np
import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer
from tests.trainer.tiny_language import ids, word_tokenizer

from finetune_trainer.metrics.texts import TextScores
from finetune_trainer.metrics.tokens import TokenScores, count_tokens


def test_tokens_are_counted_where_there_is_a_label() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]])
    logits = probabilities.log().expand(2, 4, 3)
    labels = torch.tensor([[-100, 0, 1, 2], [-100, -100, -100, 1]])

    counts = count_tokens(logits, labels)

    expected = torch.tensor([[2, -math.log(0.7 * 0.4 * 0.8), 3], [0, -math.log(0.1), 1]])
    torch.testing.assert_close(counts, expected)


def test_token_scores_are_means_over_tokens_and_not_over_batches() -> None:
    scores = TokenScores(["perplexity", "accuracy"])
    scores.add_batch(np.array([[2.0, 0.8, 3.0], [0.0, 2.4, 1.0]]), np.zeros((2, 4)))
    scores.add_batch(np.array([[4.0, 0.0, 4.0]]), np.zeros((1, 9)))

    computed = scores.compute(loss=123.0)

    assert computed == pytest.approx({"loss": 0.4, "perplexity": math.exp(0.4), "accuracy": 0.75})
    assert list(computed) == ["loss", "perplexity", "accuracy"]


def test_a_model_without_any_idea_has_a_perplexity_too() -> None:
    scores = TokenScores(["perplexity"])
    scores.add_batch(np.array([[0.0, 10_000.0, 1.0]]), np.zeros((1, 2)))

    assert math.isfinite(scores.compute(loss=0.0)["perplexity"])


def test_texts_are_scored_as_rouge_score_and_sacrebleu_do() -> None:
    wanted = ["the sky is blue and the sea is blue", "the leaf is green"]
    written = ["the sky is blue and the rose is red", "the leaf is white"]
    scores = TextScores(["rouge1", "rougeL", "sacrebleu"], word_tokenizer())

    for text, reference in zip(written, wanted, strict=True):
        predictions = np.array([[0, *ids(text), 2, 0, -100]])
        scores.add_batch(predictions, np.array([[*ids(reference), 2, -100]]))
    computed = scores.compute(loss=0.0)

    rouge = [RougeScorer(["rouge1", "rougeL"]).score(*pair) for pair in zip(wanted, written, strict=True)]
    assert computed == pytest.approx(
        {
            "rouge1": np.mean([score["rouge1"].fmeasure for score in rouge]),
            "rougeL": np.mean([score["rougeL"].fmeasure for score in rouge]),
            "sacrebleu": sacrebleu.corpus_bleu(written, [wanted]).score,
        }
    )
    assert 0 < computed["rougeL"] < 1


def test_nothing_written_has_scores_too() -> None:
    scores = TextScores(["rouge1", "rouge2", "rougeL", "sacrebleu"], word_tokenizer())
    scores.add_batch(np.array([[0, 2]]), np.array([[*ids("the sky"), 2]]))

    assert scores.compute(loss=0.0) == {"rouge1": 0, "rouge2": 0, "rougeL": 0, "sacrebleu": 0}
