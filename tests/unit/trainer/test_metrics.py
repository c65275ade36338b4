"""The metrics that the image carries are those that scikit-learn computes, with nothing downloaded."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from finetune_trainer.metrics import ClassScores

NAMES = ["accuracy", "f1", "precision", "recall", "matthews_correlation"]


@pytest.mark.parametrize(("classes", "average"), [(2, "binary"), (4, "macro")])
def test_metrics_of_two_classes_are_of_the_second_and_of_more_the_mean(classes: int, average: str) -> None:
    chance = np.random.default_rng(0)
    references, predictions = chance.integers(0, classes, 50), chance.integers(0, classes, 50)

    scores = ClassScores(NAMES, classes)
    for half in (slice(0, 25), slice(25, 50)):
        scores.add_batch(predictions[half], references[half])
    computed = scores.compute(loss=0.0)

    assert computed == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(references, predictions),
            "f1": sklearn_metrics.f1_score(references, predictions, average=average),
            "precision": sklearn_metrics.precision_score(references, predictions, average=average),
            "recall": sklearn_metrics.recall_score(references, predictions, average=average),
            "matthews_correlation": sklearn_metrics.matthews_corrcoef(references, predictions),
        }
    )


def test_a_model_that_always_says_the_same_has_numbers_too() -> None:
    zeros, ones = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.int64)

    scores = ClassScores(NAMES, 2)
    scores.add_batch(zeros, ones)

    assert scores.compute(loss=0.0) == dict.fromkeys(NAMES, 0.0)
