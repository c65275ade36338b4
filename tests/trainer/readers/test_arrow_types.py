"""Texts and numbers of a Parquet file are read in each type that they are stored as."""

from decimal import Decimal
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from tests.trainer.readers.reading import READ, Read, parquet

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.columns import check_text


@pytest.mark.parametrize(
    ("text", "label", "labels"),
    [
        (pa.string_view(), pa.string_view(), ["x", "y"]),
        (pa.large_string(), pa.dictionary(pa.int8(), pa.string()), ["x", "y"]),
        (pa.string(), pa.decimal128(5, 0), [0, 1]),
        (pa.string(), pa.decimal128(5, 2), [0.25, 1.5]),
        (pa.string(), pa.list_(pa.string_view()), [["x"], ["x", "y"]]),
    ],
)
def test_texts_and_numbers_are_read_whatever_arrow_stores_them_as(
    read: Read, text: Any, label: Any, labels: list[Any]
) -> None:
    values = [Decimal(str(value)) for value in labels] if pa.types.is_decimal(label) else labels

    rows = read({"a.parquet": parquet(text=pa.array(["a", "b"], text), label=pa.array(values).cast(label))})

    assert rows.dataset[:] == {"text": ["a", "b"], "label": labels}
    check_text(rows, "text", "text")


def test_a_column_of_a_type_that_cannot_be_read_stands_in_the_way_only_where_it_is_read(read: Read) -> None:
    content = parquet(
        text=["a", "b"], label=["x", "y"], meta=pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64()))
    )

    assert read({"a.parquet": content}).dataset[:] == READ
    with pytest.raises(TrainerError, match=r"column 'meta' in a\.parquet is a map<string, int64"):
        read({"a.parquet": content}, ("text", "meta"))
