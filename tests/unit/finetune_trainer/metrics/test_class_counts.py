"""What an evaluation finds of each class is what scikit-learn and seqeval count, and stays small for many classes."""

import json

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as seqeval_scores
from sklearn import metrics as sklearn_metrics

from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.metrics.scores import ClassScores, EntityScores, WordScores
from finetune_trainer.metrics.scoring import Scores

LABELS = ["arts", "sport", "trade", "travel"]


def found(scores: Scores, predictions: np.ndarray, references: np.ndarray) -> ByClass:
    """In two batches."""
    for part in (slice(0, 2), slice(2, None)):
        scores.add_batch(predictions[part], references[part])
    scores.compute(loss=0.0)
    by_class = scores.by_class()
    assert by_class
    return by_class


def counted(references: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, list[float]]:
    values = sklearn_metrics.precision_recall_fscore_support(
        references, predictions, labels=range(classes), zero_division=0
    )
    return {
        key: list(map(float, value))
        for key, value in zip(("precision", "recall", "f1", "support"), values, strict=True)
    }


def values_of(by_class: ByClass) -> dict[str, list[float]]:
    return by_class.model_dump(include={"precision", "recall", "f1", "support"})


def test_classes_of_rows_are_counted_as_scikit_learn_does_with_their_confusion() -> None:
    chance = np.random.default_rng(0)
    references, predictions = chance.integers(0, 3, 60), chance.integers(0, 4, 60)  # no row is about travel

    by_class = found(ClassScores([], 4, labels=LABELS), predictions, references)

    assert by_class.names == LABELS
    for key, values in counted(references, predictions, 4).items():
        assert values_of(by_class)[key] == pytest.approx(values, abs=1e-6)
    assert by_class.support[3] == by_class.f1[3] == 0
    assert by_class.confusion == sklearn_metrics.confusion_matrix(references, predictions, labels=range(4)).tolist()


def test_several_classes_a_row_are_counted_one_by_one() -> None:
    chance = np.random.default_rng(1)
    references, predictions = chance.integers(0, 2, (30, 4)), chance.integers(0, 2, (30, 4))

    by_class = found(ClassScores(["f1"], 4, True, LABELS), predictions, references)

    for key, values in counted(references, predictions, 4).items():
        assert values_of(by_class)[key] == pytest.approx(values, abs=1e-6)
    assert (by_class.confusion, by_class.mistakes) == (None, None)


def test_words_are_counted_without_those_that_are_not_scored() -> None:
    predictions, references = np.array([[0, 1], [1, 1], [2, 0]]), np.array([[0, -100], [1, 2], [2, 1]])

    by_class = found(WordScores(["f1"], 3, ["DET", "NOUN", "VERB"]), predictions, references)

    assert by_class.names == ["DET", "NOUN", "VERB"]
    assert by_class.support == [1, 2, 2]
    assert by_class.confusion == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]


def test_entities_are_counted_by_their_type() -> None:
    tags = ["O", "B-PER", "I-PER", "B-LOC"]
    predictions, references = np.array([[1, 2, 3], [1, 0, 0], [0, 3, 0]]), np.array([[1, 2, 0], [1, 2, 0], [3, 3, 0]])

    by_class = found(EntityScores(["f1"], tags), predictions, references)

    names = [[[tags[tag] for tag in row] for row in rows] for rows in (references, predictions)]
    assert by_class.names == ["LOC", "PER"]
    expected = seqeval_scores(*names, average=None)
    for mine, values in zip(
        (by_class.precision, by_class.recall, by_class.f1, by_class.support), expected, strict=True
    ):
        assert mine == pytest.approx(list(values), abs=1e-6)


def test_where_there_is_no_entity_there_is_no_type() -> None:
    by_class = found(EntityScores(["f1"], ["O", "B"]), np.zeros((3, 2), int), np.zeros((3, 2), int))

    assert by_class.names == []


def test_of_a_thousand_classes_the_most_frequent_mistakes_are_reported_and_it_stays_small() -> None:
    chance = np.random.default_rng(2)
    references = chance.integers(0, 1500, 20_000)
    predictions = np.where(chance.random(20_000) < 0.5, references, chance.integers(0, 1500, 20_000))
    predictions[references == 7] = 8

    by_class = found(
        ClassScores([], 1500, labels=[f"class {number}" for number in range(1500)]), predictions, references
    )

    assert (len(by_class.names), by_class.left_out, by_class.confusion) == (1000, 500, None)
    assert by_class.mistakes
    assert len(by_class.mistakes) == 100
    first = by_class.mistakes[0]
    assert (first.wanted, first.given, first.count) == ("class 7", "class 8", int((references == 7).sum()))
    assert len(json.dumps(by_class.model_dump())) < 64_000


def test_classes_are_reported_in_a_line_the_lowest_first_where_they_are_many() -> None:
    one = {"precision": [0.5] * 3, "recall": [0.5] * 3, "support": [4, 5, 6]}

    few = ByClass(names=["a", "b", "c"], f1=[1.0, 0.25, 0.5], **one)

    assert few.summary() == "f1 of the classes: a 1 of 4, b 0.25 of 5, c 0.5 of 6"
    assert few.summary(2) == "f1 of the classes: b 0.25 of 5, c 0.5 of 6; 1 more are not lower"
