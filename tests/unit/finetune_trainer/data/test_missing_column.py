"""A column that is not there is told with a remedy that fits what is there."""

from typing import Any

import datasets
import numpy as np
import pytest

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.rows import Rows

WORDS = 'write for each text its words and a tag for each of them, as jsonl or parquet: {"tokens": ["in", "Paris"], "tags": ["O", "B-LOC"]}'


def hint_of(field: str, *rows: dict[str, Any]) -> str:
    dataset = datasets.Dataset.from_list(list(rows))
    count = len(rows)
    with pytest.raises(TrainerError) as caught:
        check_columns(Rows(dataset, np.arange(1, count + 1), np.full(count, "train", object), "train"), {field: field})
    assert caught.value.reason == "ColumnNotFound"
    return caught.value.hint or ""


@pytest.mark.parametrize(
    "entities",
    [
        [{"start": 3, "end": 8, "label": "LOC"}],
        [{"start_offset": 3, "end_offset": 8, "label": "LOC"}],
    ],
)
def test_entities_by_their_places_are_told_with_how_they_are_written(entities: Any) -> None:
    assert hint_of("tokens", {"text": "in Paris", "entities": entities}) == (
        f"entities that are given by their places in a text cannot be read: {WORDS}"
    )


def test_classes_with_a_column_each_are_told_with_how_they_are_written() -> None:
    assert hint_of(
        "label", {"text": "a", "toxic": 1, "rude": 0, "id": 7}, {"text": "b", "toxic": 0, "rude": 0, "id": 8}
    ) == (
        "where toxic, rude each mark a class, write one column of jsonl or parquet with a list of the marks in each row "
        "([1, 0]), or of the classes that it has; else set dataset.columns.label to the one that is learnt"
    )


def test_what_is_within_a_column_is_told_with_its_names() -> None:
    assert hint_of("text", {"translation": {"en": "a", "fr": "b"}}) == (
        "what is within a column is named with a dot: set dataset.columns.text to the one of translation.en, translation.fr that holds it"
    )


@pytest.mark.parametrize(
    "row", [{"words": "a", "spam": 1}, {"words": "a", "places": [[1, 2]]}, {"words": "a", "count": 5, "size": 7}]
)
def test_of_anything_else_the_field_is_named(row: dict[str, Any]) -> None:
    assert hint_of("label", row) == "set dataset.columns.label to the column that holds it"
