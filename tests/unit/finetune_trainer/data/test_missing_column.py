"""A column that is not there is told with a remedy that fits what is there."""

from typing import Any

import datasets
import numpy as np
import pytest

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.missing_column import where_it_may_be, within_one
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
        "set dataset.columns.label to the one that is learnt; where toxic, rude each mark a class, write one column of jsonl or "
        "parquet with a list of the marks in each row ([1, 0]), or of the classes that it has"
    )


def test_what_is_within_a_column_is_told_with_its_names() -> None:
    assert hint_of("text", {"sentence": "a b", "meta": {"id": 1}}) == (
        "set dataset.columns.text to the column that holds it; what is within a column is named with a dot: meta.id"
    )


def test_where_all_is_within_columns_it_is_one_of_what_they_hold() -> None:
    assert hint_of("text", {"translation": {"en": "a", "fr": "b"}}) == (
        "what is within a column is named with a dot: set dataset.columns.text to the one of translation.en, translation.fr that holds it"
    )


def test_rows_are_decoded_once_however_many_columns_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    read = datasets.Dataset.__getitem__

    def counted(self: datasets.Dataset, key: Any) -> Any:
        decoded.append(key)
        return read(self, key)

    row = {f"c{number}": number for number in range(5, 55)}
    monkeypatch.setattr(datasets.Dataset, "__getitem__", counted)

    hints = [hint_of("text", row), hint_of("label", row)]

    assert hints == [f"set dataset.columns.{field} to the column that holds it" for field in ("text", "label")]
    assert sum(isinstance(key, slice) for key in decoded) == 1


def test_of_a_split_without_rows_the_field_is_named() -> None:
    rows = Rows(datasets.Dataset.from_dict({"a": []}), np.arange(0), np.full(0, "train", object), "train")

    assert (where_it_may_be(rows, "text", "text"), within_one(rows, {"text"})) == (None, None)


@pytest.mark.parametrize(
    "row", [{"words": "a", "spam": 1}, {"words": "a", "places": [[1, 2]]}, {"words": "a", "count": 5, "size": 7}]
)
def test_of_anything_else_the_field_is_named(row: dict[str, Any]) -> None:
    assert hint_of("label", row) == "set dataset.columns.label to the column that holds it"
