"""The metrics that the image carries are those of scikit-learn, scipy and seqeval, with nothing downloaded."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from scipy import stats
from seqeval import metrics as seqeval_metrics
from sklearn import metrics as sklearn_metrics
from tests.trainer.tiny_language import ids, word_tokenizer

from finetune_api.report import ExitCode
from finetune_api.training import METRICS_OF_PROBLEM, METRICS_OF_TASK, Evaluation
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.metrics.scores import ClassScores, EntityScores, NumberScores, WordScores, chosen_metrics
from finetune_trainer.metrics.scoring import Scores
from finetune_trainer.metrics.texts import TextScores
from finetune_trainer.metrics.tokens import TokenScores

NAMES = METRICS_OF_PROBLEM["single_label_classification"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


def computed(scores: Scores, predictions: Sequence[object], references: Sequence[object]) -> dict[str, float]:
    """In two batches."""
    for part in (slice(0, 2), slice(2, None)):
        scores.add_batch(np.array(predictions[part]), np.array(references[part]))
    return scores.compute(loss=0.0)


@pytest.mark.parametrize(("classes", "average"), [(2, "binary"), (4, "macro")])
def test_metrics_of_two_classes_are_of_the_second_and_of_more_the_mean(classes: int, average: str) -> None:
    chance = np.random.default_rng(0)
    references, predictions = chance.integers(0, classes, 50), chance.integers(0, classes, 50)

    assert computed(ClassScores(NAMES, classes), predictions, references) == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(references, predictions),
            "f1": sklearn_metrics.f1_score(references, predictions, average=average),
            "precision": sklearn_metrics.precision_score(references, predictions, average=average),
            "recall": sklearn_metrics.recall_score(references, predictions, average=average),
            "matthews_correlation": sklearn_metrics.matthews_corrcoef(references, predictions),
        }
    )


def test_a_model_that_always_says_the_same_has_numbers_too() -> None:
    assert computed(ClassScores(NAMES, 2), [0] * 4, [1] * 4) == dict.fromkeys(NAMES, 0.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_of_several_classes_a_row_all_must_be_right_and_the_rest_is_the_mean_over_classes(classes: int) -> None:
    predictions = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]])[:, :classes]
    references = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]])[:, :classes]

    found = computed(ClassScores(["accuracy", "f1", "precision", "recall"], classes, True), predictions, references)

    each = [
        sklearn_metrics.precision_recall_fscore_support(references[:, c], predictions[:, c], average="binary")[:3]
        for c in range(classes)
    ]
    precision, recall, f1 = (float(np.mean(values)) for values in zip(*each, strict=True))
    assert found == pytest.approx({"accuracy": 0.25, "f1": f1, "precision": precision, "recall": recall})


def test_numbers_are_compared_as_scipy_and_scikit_learn_do() -> None:
    references, predictions = [0.5, 1.0, 4.0, 2.5, 3.0], [0.0, 1.5, 9.0, 2.0, 3.5]

    assert computed(NumberScores(METRICS_OF_PROBLEM["regression"]), predictions, references) == pytest.approx(
        {
            "pearsonr": stats.pearsonr(references, predictions).statistic,
            "spearmanr": stats.spearmanr(references, predictions).statistic,
            "mse": sklearn_metrics.mean_squared_error(references, predictions),
            "mae": sklearn_metrics.mean_absolute_error(references, predictions),
        }
    )


@pytest.mark.parametrize(("predictions", "references"), [([2.0] * 3, [1.0, 2.0, 3.0]), ([1.0], [3.0])])
def test_what_is_constant_goes_along_with_nothing(predictions: list[float], references: list[float]) -> None:
    scores = NumberScores(["pearsonr", "spearmanr"])
    scores.add_batch(np.array(predictions), np.array(references))

    assert scores.compute(loss=0.0) == {"pearsonr": 0.0, "spearmanr": 0.0}


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_of_predictions_that_are_no_numbers_the_metrics_are_none_either(broken: float) -> None:
    scores = NumberScores(METRICS_OF_PROBLEM["regression"])
    for predictions in ([1.0, broken], [2.0, 3.0]):
        scores.add_batch(np.array(predictions), np.array([1.0, 2.0]))

    computed = scores.compute(loss=0.0)

    assert list(computed) == list(METRICS_OF_PROBLEM["regression"])
    assert np.isnan(list(computed.values())).all()


def test_entities_are_whole_and_padding_is_left_out() -> None:
    predictions = [[0, 1, 2, 3], [1, 1, 0, 0], [3, 0, 2, 1]]
    references = [[-100, 1, 2, 3], [1, 2, 0, -100], [3, 0, 0, -100]]

    found = computed(EntityScores(["precision", "recall", "f1", "accuracy"], TAGS), predictions, references)

    true = [["B-PER", "I-PER", "B-LOC"], ["B-PER", "I-PER", "O"], ["B-LOC", "O", "O"]]
    told = [["B-PER", "I-PER", "B-LOC"], ["B-PER", "B-PER", "O"], ["B-LOC", "O", "I-PER"]]
    assert found == pytest.approx(
        {
            "precision": seqeval_metrics.precision_score(true, told),
            "recall": seqeval_metrics.recall_score(true, told),
            "f1": seqeval_metrics.f1_score(true, told),
            "accuracy": seqeval_metrics.accuracy_score(true, told),
        }
    )
    assert found["f1"] == pytest.approx(2 * 3 / (6 + 4))


def test_where_no_entity_is_found_the_scores_are_zero() -> None:
    assert computed(EntityScores(["f1", "accuracy"], TAGS), [[0, 0]] * 3, [[1, 2]] * 3) == {"f1": 0.0, "accuracy": 0.0}


def test_tags_that_are_no_entities_are_classes_of_words() -> None:
    found = computed(
        WordScores(["accuracy", "f1"], 3), [[0, 1, 2], [2, 0, 0], [1, 1, 1]], [[0, 1, 1], [2, -100, -100], [1, 1, -100]]
    )

    assert found == pytest.approx(
        {
            "accuracy": 5 / 6,
            "f1": sklearn_metrics.f1_score([0, 1, 1, 2, 1, 1], [0, 1, 2, 2, 1, 1], average="macro"),
        }
    )


OFFERED: dict[tuple[str, ...], tuple[Callable[[Sequence[str]], Scores], list[object]]] = {
    METRICS_OF_PROBLEM["single_label_classification"]: (partial(ClassScores, classes=2), [0, 1]),
    METRICS_OF_PROBLEM["multi_label_classification"]: (partial(ClassScores, classes=2, several=True), [[0, 1], [1, 0]]),
    METRICS_OF_PROBLEM["regression"]: (NumberScores, [0.5, 1.5]),
    METRICS_OF_TASK["token-classification"]: (partial(EntityScores, tags=TAGS), [[1, 2], [0, 3]]),
    METRICS_OF_TASK["causal-lm"]: (TokenScores, [[2.0, 0.8, 3.0], [0.0, 2.4, 1.0]]),
    METRICS_OF_TASK["seq2seq"]: (partial(TextScores, tokenizer=word_tokenizer()), [ids("the sea"), ids("the sky")]),
}
"""The metrics of each task and problem, with what computes them and two rows of predictions."""


@pytest.mark.parametrize(("names", "scores", "rows"), [(names, *made) for names, made in OFFERED.items()])
def test_each_metric_of_a_task_is_computed(
    names: tuple[str, ...], scores: Callable[[Sequence[str]], Scores], rows: list[object]
) -> None:
    found = scores(names)
    found.add_batch(np.array(rows), np.array(rows))

    assert found.compute(loss=0.0).keys() - {"loss"} == set(names)


def test_the_metrics_of_every_task_are_among_those() -> None:
    of_tasks = {names for task, names in METRICS_OF_TASK.items() if task != "text-classification"}

    assert {*of_tasks, *METRICS_OF_PROBLEM.values()} == OFFERED.keys()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["pearsonr"]),
        ({"metrics": ["mse", "mae"]}, ["mse", "mae"]),
        ({"metrics": []}, []),
        ({"best_metric": "mse"}, ["pearsonr", "mse"]),
        ({"best_metric": "loss"}, ["pearsonr"]),
    ],
)
def test_the_best_metric_is_computed_beside_the_usual_ones(settings: dict[str, object], names: list[str]) -> None:
    evaluation = Evaluation.model_validate(settings)

    assert chosen_metrics(evaluation, "regression", METRICS_OF_PROBLEM["regression"], ["pearsonr"]) == names


@pytest.mark.parametrize("settings", [{"metrics": ["mse", "accuracy"]}, {"best_metric": "accuracy"}])
def test_a_metric_that_does_not_fit_is_refused_by_name_with_those_that_do(settings: dict[str, object]) -> None:
    with pytest.raises(TrainerError) as refused:
        chosen_metrics(Evaluation.model_validate(settings), "regression", ["pearsonr", "mse", "mae"], ["pearsonr"])

    assert (refused.value.exit_code, refused.value.message) == (
        ExitCode.BAD_CONFIGURATION,
        "evaluation.metrics: accuracy cannot be computed for regression; its metrics are pearsonr, mse, mae",
    )
