"""Classes that are probably not meant as they stand are pointed out, and usual ones are not."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pytest

from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.classes import Labels, warn_of_odd_classes
from finetune_trainer.data.labels import label_id_lists, label_ids, label_names
from finetune_trainer.data.rows import Rows

NEWS = datasets.ClassLabel(names=["arts", "sport", "trade"])
BALANCED = ["neg", "pos"] * 20
SORTED = ["neg"] * 20 + ["pos"] * 20


def rows(labels: Sequence[Any], feature: Any = None, split: str = "train", positions: Sequence[int] = ()) -> Rows:
    dataset = datasets.Dataset.from_dict({"label": labels}, datasets.Features({"label": feature}) if feature else None)
    where = np.array(positions) if positions else np.arange(1, len(labels) + 1)
    return Rows(dataset, where, np.full(len(labels), "train", object), split)


def warnings(train: Rows, evaluation: Rows | None = None, **options: Any) -> dict[str, str]:
    names = label_names(train, "label")
    ids = label_id_lists if isinstance(train.dataset[0]["label"], list) else label_ids
    told: dict[str, str] = {}
    with collected(lambda reason, message: told.update({reason: message})):
        train_labels, *more = (Labels(part, ids(part, "label", names)) for part in (train, evaluation) if part)
        warn_of_odd_classes("label", names, train_labels, more[0] if more else None, **options)
    return told


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        (rows(BALANCED), rows(["pos", "neg"])),
        (rows(SORTED), rows(SORTED)),
        (rows(BALANCED, split="train[:50%]"), rows(BALANCED, split="train[50%:]")),
        (rows(["neg"] * 99 + ["pos"]), None),
        (rows([0, 1, 2] * 5, NEWS), rows([2, 0], NEWS)),
        (rows(["a", "b"]), rows(["a", "b"])),
        (rows([f"intent {number % 77}" for number in range(200)]), None),
        (rows([["a"], [], ["b", "a"]]), rows([["a"], ["b"]])),
        (rows(["1", "10", "01a", "C", "C++", "C#"] * 10), None),
        (rows(["-1", "1", "0", "A-", "A", "B-PER", "I-PER"] * 10), None),
        (rows(["1.5", "250.1", "v2"] * 10), None),
        (rows(["wind, rain", "wind", "rain, hail"] * 10), None),
        (rows([["a,b"], ["a", "b"], ["1,5"]]), None),
        (rows(["\u0432\u043e\u0440", "\u0441\u043e\u0440", "\u0412\u0435\u0441\u044b", "cat"] * 10), None),
        (rows(["9500000000000000000", "9500000000000000001"] * 10), None),
    ],
)
def test_usual_classes_are_taken_without_a_word(train: Rows, evaluation: Rows | None) -> None:
    assert warnings(train, evaluation) == {}


def test_training_rows_of_one_class_are_reported_with_the_others() -> None:
    told = warnings(rows([1] * 8, NEWS, "train[:50%]"))

    assert list(told) == ["OneClass"]
    assert told["OneClass"].startswith(
        "column 'label': all 8 labels of split 'train[:50%]' are 'sport', of the classes arts, sport, trade: "
    )


def test_evaluation_rows_of_one_class_are_reported() -> None:
    told = warnings(rows(BALANCED), rows(["pos"] * 3, split="test"))

    assert list(told) == ["OneClassEvaluated"]
    assert "all 3 labels of split 'test' are 'pos'" in told["OneClassEvaluated"]


def test_classes_without_a_training_row_are_named_with_the_evaluation_rows_that_have_them() -> None:
    told = warnings(rows([0, 1] * 4, NEWS), rows([0, 1, 2, 2], NEWS, "test"))

    assert list(told) == ["ClassesWithoutRows"]
    assert "no row of split 'train' has 'trade'" in told["ClassesWithoutRows"]
    assert "2 labels in split 'test' are of these" in told["ClassesWithoutRows"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pos", "pos "), ("pos", "POS"), ("pos", " Pos"), ("caf\u00e9", "cafe\u0301"), ("pos", "pos\u200b"), ("pos", "\ufeffpos"),
        ("very good", "very  good"), ("very good", "very\u00a0good"), ("ｐｏｓ", "pos"), ("straße", "STRASSE"), ("7", "007"),
        ("1", "1.0"), ("pos", "p\u043es"), ("POS", "P\u039fS"), ("\u043c\u0430\u043c\u0430", "\u043ca\u043c\u0430"), ("don't", "don\u2019t"),
        ("non-fiction", "non\u2013fiction"), ("not good", "not_good"), ("not good", "not-good"), ("pos", "'pos'"), ("-1", "\u22121"),
    ],
)  # fmt: skip
def test_classes_that_look_alike_are_reported_with_their_counts_and_first_rows(one: str, other: str) -> None:
    told = warnings(rows([one, "neg", "neg", other, one]))

    assert list(told) == ["ClassesAlike"]
    message = told["ClassesAlike"]
    assert "(2, the first in row 1 of split 'train')" in message
    assert "(1, the first in row 4 of split 'train')" in message


def test_what_cannot_be_seen_in_a_name_is_shown_by_its_number() -> None:
    assert "'pos\\u200b'" in warnings(rows(["pos", "neg", "pos\u200b"]))["ClassesAlike"]


def test_classes_of_lists_that_look_alike_are_reported_too() -> None:
    told = warnings(rows([["a"], ["b", "A"], ["A"]]))

    assert (
        "'A' (2, the first in row 2 of split 'train') and 'a' (1, the first in row 1 of split 'train')"
        in (told["ClassesAlike"])
    )


def test_numbers_up_to_a_row_and_words_from_there_on_are_reported() -> None:
    found = warnings(rows(["0", "1"] * 30 + ["yes", "no"]))

    assert found["NumbersAndWords"] == (
        "column 'label': labels are numbers ('0' in row 1 of split 'train') up to where words begin ('yes' in row 61 of "
        "split 'train'), and each is a class: is it the same column in all rows?"
    )


@pytest.mark.parametrize(
    "labels",
    [
        ["1,5", "2,5", "3"], ["1,000", "900"], ["1.234,50", "2.000,00"], ["10 %", "20%"], ["$5", "$10"], ["5 €", "10\u00a0€"],
        ["1 000", "900"], ["-1,5", "0"],
    ],
)  # fmt: skip
def test_numbers_that_are_written_as_text_are_reported(labels: list[str]) -> None:
    told = warnings(rows(labels * 10))

    assert list(told) == ["NumbersAsClasses"]
    assert f"each of the {len(labels)} is a class of its own" in told["NumbersAsClasses"]


@pytest.mark.parametrize("labels", [["0.125", "0.5", "2"], ["1e-3", "2e-3"], ["-0.5", ".5"]])
def test_fractions_that_are_written_as_text_are_reported_with_the_remedy(labels: list[str]) -> None:
    told = warnings(rows(labels * 10))

    assert list(told) == ["NumbersAsClasses"]
    assert f"each of the {len(labels)} is a class of its own" in told["NumbersAsClasses"]
    assert "set model.problemType to regression" in told["NumbersAsClasses"]


@pytest.mark.parametrize("labels", [["0", "1", "2"], ["007", "-1"], ["0.5", "high"]])
def test_whole_numbers_and_words_are_classes_without_a_word(labels: list[str]) -> None:
    assert warnings(rows(labels * 10)) == {}


@pytest.mark.parametrize("sign", [",", ", ", ";", "|", " | "])
def test_a_class_that_is_made_of_others_is_reported(sign: str) -> None:
    told = warnings(rows(["wind", f"wind{sign}rain", "rain"]))

    assert list(told) == ["SeveralInOne"]
    assert f"'wind{sign}rain' is learnt as a class of its own" in told["SeveralInOne"]


def test_a_column_of_ids_is_reported() -> None:
    told = warnings(rows([f"id-{number}" for number in range(60)]))

    assert list(told) == ["ManyClasses"]
    assert "60 classes in 60 training rows, such as 'id-0'" in told["ManyClasses"]


def test_a_slice_of_rows_that_are_sorted_by_label_is_reported_with_its_counts() -> None:
    told = warnings(rows(SORTED[:26], split="train[:65%]"), rows(BALANCED, split="test"))

    assert list(told) == ["SortedByLabel"]
    assert "the rows of split 'train[:65%]' are sorted by it" in told["SortedByLabel"]
    assert "it has 'neg' 20, 'pos' 6" in told["SortedByLabel"]


def test_rows_taken_at_random_from_a_sorted_slice_are_known_by_where_they_stood() -> None:
    order = np.random.default_rng(0).permutation(26)
    labels = [SORTED[index] for index in order]

    assert list(warnings(rows(labels, split="train[:65%]", positions=[int(index) + 1 for index in order]))) == [
        "SortedByLabel"
    ]


def test_sorted_rows_that_are_learnt_in_their_order_are_reported() -> None:
    told = warnings(rows(SORTED), in_order=True)

    assert "are sorted by it, and batches have one class each" in told["SortedByLabel"]
