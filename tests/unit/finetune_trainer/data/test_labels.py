"""What a label column stands for."""

from typing import Any

import datasets
import numpy as np
import pytest

from finetune_api.sources import Problem
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.labels import (
    Several,
    label_id_lists,
    label_ids,
    label_names,
    problem_of,
    several_labels,
    several_vectors,
)
from finetune_trainer.data.number_labels import numbers, warn_of_constant
from finetune_trainer.data.rows import Rows


def rows(labels: list[Any], feature: Any = None) -> Rows:
    features = datasets.Features({"label": feature}) if feature else None
    count = len(labels)
    dataset = datasets.Dataset.from_dict({"label": labels}, features)
    return Rows(dataset, np.arange(1, count + 1), np.full(count, "train", object), "train")


@pytest.mark.parametrize(
    ("labels", "wanted", "problem"),
    [
        (["a", "b"], None, "single_label_classification"),
        ([0, 1], None, "single_label_classification"),
        ([True, False], None, "single_label_classification"),
        ([0.5, 1.0], None, "regression"),
        ([0, 1], "regression", "regression"),
        ([["a"], ["b"]], None, "multi_label_classification"),
        ([[0.0, 1.0]], None, "multi_label_classification"),
    ],
)
def test_the_column_tells_the_problem_unless_the_settings_do(
    labels: list[Any], wanted: Problem | None, problem: Problem
) -> None:
    assert problem_of(rows(labels), "label", wanted) == problem


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        ([[0, 1], [1, 0]], Several(["0", "1"], marked=True)),
        ([[0, 0, 1], [0, 0, 0]], Several(["0", "1", "2"], marked=True)),
        ([[True, False], [False, False]], Several(["0", "1"], marked=True)),
        ([[1.0, 0.0]], Several(["0", "1"], marked=True)),
        ([[0], [1]], Several(["0", "1"], marked=False)),
        ([[0, 1], [1]], Several(["0", "1"], marked=False)),
        ([[10, 2], [2, 9]], Several(["2", "9", "10"], marked=False)),
        ([[10.0, 2.0], [2.0]], Several(["2", "10"], marked=False)),
        ([["b", "a"], []], Several(["a", "b"], marked=False)),
    ],
)
def test_lists_of_one_length_of_zeros_and_ones_are_marks_and_others_are_classes(
    labels: list[Any], several: Several
) -> None:
    assert several_labels(rows(labels), "label") == several


@pytest.mark.parametrize(("labels", "only"), [([[1.0], [0.0]], "only the label '0'"), ([[], []], "no label")])
def test_marks_of_fewer_than_two_classes_are_refused(labels: list[Any], only: str) -> None:
    marks = rows(labels, datasets.List(datasets.Value("float64")))

    with pytest.raises(TrainerError, match=f"column 'label' has {only} in split 'train'"):
        several_labels(marks, "label")


def test_a_row_without_marks_is_reported_and_not_the_others() -> None:
    marks = rows([[1.0, 0.0], [], [0.0, 1.0]])

    with pytest.raises(TrainerError, match=r"row 2 of split 'train' .* holds \[\]; .* 0 or 1 for each of 2 classes"):
        several_vectors(marks, "label", several_labels(marks, "label"))


def test_zeros_and_ones_that_have_names_are_classes() -> None:
    named = rows([[0, 1], [1, 0]], datasets.List(datasets.ClassLabel(names=["no", "yes"])))

    assert several_labels(named, "label") == Several(["no", "yes"], marked=False)
    assert several_vectors(named, "label", Several(["no", "yes"], marked=False)) == [[1.0, 1.0], [1.0, 1.0]]


def test_each_class_of_a_row_counts_once() -> None:
    several = Several(["a", "b", "c"], marked=False)

    assert several_vectors(rows([["c", "a", "c"], [], ["b"]]), "label", several) == [
        [1.0, 0.0, 1.0],
        [0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
    ]


def test_splits_that_count_their_classes_apart_are_brought_together_by_name() -> None:
    train = rows([0, 1], datasets.ClassLabel(names=["no", "yes"]))
    evaluation = rows([0, 1], datasets.ClassLabel(names=["yes", "no"]))

    assert label_ids(evaluation, "label", label_names(train, "label")) == [1, 0]


def warned(labels: list[Any], wanted: Problem | None = None) -> tuple[Problem, str]:
    told: list[tuple[str, str]] = []
    with collected(lambda *warning: told.append(warning)):
        problem = problem_of(rows(labels), "label", wanted)
    assert {reason for reason, _ in told} <= {"WholeNumbers"}
    return problem, "".join(message for _, message in told)


def test_floats_that_are_all_whole_are_classes_where_they_are_few_and_that_is_reported() -> None:
    problem, told = warned([0.0, 1.0, 1.0])

    assert problem == "single_label_classification"
    assert "column 'label' of split 'train' holds floats that are all whole, 2 different ones from 0 to 1" in told
    assert "if this is not meant, to regression" in told


def test_many_whole_floats_are_numbers_to_learn_and_that_is_reported() -> None:
    problem, told = warned([float(number) for number in range(100)])

    assert problem == "regression"
    assert "100 different ones from 0 to 99: they are taken as numbers to learn" in told
    assert "if this is not meant, to single_label_classification" in told


@pytest.mark.parametrize("labels", [[0.0, 5.0, 2.5], [0.1, 0.9], [1.0, float("nan")]])
def test_floats_with_fractions_are_numbers_without_a_word(labels: list[float]) -> None:
    assert warned(labels) == ("regression", "")


@pytest.mark.parametrize("wanted", ["regression", "single_label_classification"])
def test_what_the_settings_say_of_floats_is_taken_without_a_word(wanted: Problem) -> None:
    assert warned([0.0, 1.0], wanted) == (wanted, "")


def test_who_asks_for_the_metrics_of_numbers_gets_numbers() -> None:
    reasons: list[str] = []
    with collected(lambda reason, _: reasons.append(reason)):
        assert problem_of(rows([0.0, 1.0, 4.0]), "label", None, ["mse"]) == "regression"
        assert problem_of(rows([0.0, 1.0, 4.0]), "label", None, ["accuracy"]) == "single_label_classification"

    assert reasons == ["WholeNumbers"]


def test_classes_of_floats_are_called_as_whole_numbers_in_whatever_form_a_split_has_them() -> None:
    train = rows([2.0, 0.0, 1.0, 10.0])

    assert label_names(train, "label") == ["0", "1", "2", "10"]
    assert label_ids(rows([10, 2]), "label", ["0", "1", "2", "10"]) == [3, 2]
    assert label_ids(rows(["10", "2"]), "label", ["0", "1", "2", "10"]) == [3, 2]


def test_a_class_that_is_a_fraction_is_reported_with_its_row() -> None:
    with pytest.raises(
        TrainerError, match=r"column 'label' in row 3 of split 'train' .* holds 0.5, which cannot be a class"
    ):
        label_names(rows([0.0, 1.0, 0.5]), "label")


@pytest.mark.parametrize(("values", "told"), [([2.5, 2.5, 2.5], ["OneNumber"]), ([2.5, 2.5, 3.0], []), ([2.5], [])])
def test_numbers_that_are_all_the_same_are_reported(values: list[float], told: list[str]) -> None:
    reasons: list[str] = []
    with collected(lambda reason, _: reasons.append(reason)):
        warn_of_constant(rows(values), "label", values)

    assert reasons == told


def test_an_unknown_label_is_reported_with_the_one_that_is_likely_meant() -> None:
    with pytest.raises(TrainerError, match=r"has the label 'Pos ', .* they have neg, pos; did you mean 'pos'\?"):
        label_ids(rows(["Pos "]), "label", ["neg", "pos"])


@pytest.mark.parametrize("labels", [[0, 1, -100], [[0, 1], [-100, 0]]])
def test_the_mark_of_what_no_loss_counts_is_no_class(labels: list[Any]) -> None:
    train = rows(labels)
    names = label_names(train, "label")
    find = label_id_lists if isinstance(labels[0], list) else label_ids

    with pytest.raises(TrainerError) as caught:
        find(train, "label", names)

    assert names == ["0", "1"]
    assert (caught.value.reason, caught.value.message) == (
        "NotLabelled",
        f"column 'label' in row {len(labels)} of split 'train' (counted from 1) has -100, by which losses leave out "
        "what has no label",
    )


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (["1,5", "2"], "write plain numbers (1234.5), without commas, signs and words"),
        ([None, "1,5"], "write plain numbers (1234.5), without commas, signs and words"),
        (["10 %", "20 %"], "write plain numbers (1234.5), without commas, signs and words"),
        (["0.5", "1,5"], "write plain numbers (1234.5), without commas, signs and words"),
        (["0.5", "good"], "write a number there (1234.5), or drop the row"),
        (["0.5", " "], "write a number there (1234.5), or drop the row"),
        (["0.5", "nan"], "write a number there (1234.5), or drop the row"),
        ([True, False], "set dataset.columns.label to a column of numbers, or leave model.problemType out"),
        (["good", "bad"], "set dataset.columns.label to a column of numbers, or leave model.problemType out"),
    ],
)
def test_numbers_in_writing_are_told_how_to_be_written(labels: list[Any], hint: str) -> None:
    with pytest.raises(TrainerError) as caught:
        numbers(rows(labels), "label")

    assert caught.value.hint == hint


def test_plain_numbers_in_quotes_are_learnt_as_numbers_where_that_is_asked_for() -> None:
    written = rows(["0.125", " 3", "-1e-2", "+.5"])

    assert numbers(written, "label") == [0.125, 3.0, -0.01, 0.5]
    assert problem_of(written, "label", None, ["mse"]) == "regression"
    assert problem_of(written, "label", None) == "single_label_classification"
    assert problem_of(rows(["0.5", "x"]), "label", None, ["mse"]) == "single_label_classification"


def test_a_metric_of_numbers_means_whole_numbers_as_such() -> None:
    assert problem_of(rows([1, 2, 3]), "label", None, ["pearsonr"]) == "regression"
    assert problem_of(rows([1, 2, 3]), "label", None, ["accuracy"]) == "single_label_classification"
    assert problem_of(rows([0, 1], datasets.ClassLabel(names=["a", "b"])), "label", None, ["mse"]) == (
        "single_label_classification"
    )


def test_a_word_among_numbers_in_quotes_is_named_with_its_row() -> None:
    with pytest.raises(TrainerError) as caught:
        numbers(rows(["0.125", "high", "0.5"]), "label")

    assert caught.value.message == (
        "column 'label' holds 'high' in row 2 of split 'train' (counted from 1), and regression needs numbers"
    )


@pytest.mark.parametrize("labels", [[["0", "1", "1"], ["1", "0", "0"]], [["True", "True"], ["False", "True"]]])
def test_marks_that_are_written_as_text_are_refused(labels: list[Any]) -> None:
    with pytest.raises(TrainerError, match="holds lists of marks that are written as text"):
        several_labels(rows(labels), "label")


def test_marks_that_are_not_as_many_in_each_row_are_refused() -> None:
    with pytest.raises(TrainerError) as caught:
        several_labels(rows([[1, 0, 0], [0, 1, 0], [0, 1]]), "label")

    assert caught.value.message == (
        "column 'label' holds 0 and 1 as marks, and not as many in each row: 3 in row 1 of split 'train' (counted from 1), "
        "2 in row 3 of split 'train' (counted from 1)"
    )


def test_classes_that_are_called_0_and_1_are_classes() -> None:
    assert several_labels(rows([["0"], ["0", "1"]]), "label") == Several(["0", "1"], marked=False)


@pytest.mark.parametrize("blank", ["", " ", "\u200b"])
def test_a_label_that_shows_nothing_is_empty(blank: str) -> None:
    labels = rows(["a", "b", blank])

    with pytest.raises(TrainerError, match=r"column 'label' in row 3 of split 'train' \(counted from 1\) is empty"):
        label_ids(labels, "label", label_names(labels, "label"))


@pytest.mark.parametrize(
    ("labels", "feature", "shown"),
    [
        ([["O", "B"], ["O"], ["O", 1]], datasets.List(datasets.Json()), "row 3: ['O', 1]"),
        ([["O", 1], ["O"]], datasets.List(datasets.Json()), "row 1: ['O', 1]"),
        ([{"a": 1}, {"a": 2}], None, "row 1: {'a': 1}"),
    ],
)
def test_of_values_that_are_no_class_the_row_is_shown_where_they_differ(
    labels: list[Any], feature: Any, shown: str
) -> None:
    with pytest.raises(TrainerError) as caught:
        label_names(rows(labels, feature), "label")

    assert caught.value.message.endswith(f"which cannot be a class ({shown})")


@pytest.mark.parametrize("labels", [[1.0, -1e300], [1.0, 9e18], ["1", "1e300"]])
def test_a_number_whose_square_the_loss_cannot_hold_is_named_with_its_row(labels: list[Any]) -> None:
    with pytest.raises(TrainerError) as caught:
        numbers(rows(labels), "label")

    assert caught.value.message.endswith(
        "in row 2 of split 'train' (counted from 1): squares of such numbers, summed over a batch, may be too large for "
        "32 bits, in which the loss is"
    )
    assert caught.value.hint == "learn smaller numbers: other units, or their logarithms"


def test_milliseconds_since_1970_are_numbers_like_others() -> None:
    assert numbers(rows([1_700_000_000_000, 1e18]), "label") == [1.7e12, 1e18]


def test_a_column_of_objects_is_refused_with_how_what_is_within_is_named() -> None:
    with pytest.raises(TrainerError) as caught:
        label_names(rows([{"name": "a"}, {"name": "b"}]), "label")

    assert (caught.value.hint or "").endswith("what is within a column is named with a dot: label.name")
