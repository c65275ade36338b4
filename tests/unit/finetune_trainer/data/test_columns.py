"""Texts that show nothing are counted; where all do, there is nothing to learn from."""

import datasets
import numpy as np
import pytest

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.columns import check_not_empty
from finetune_trainer.data.rows import Rows


def rows(**columns: list[str]) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(datasets.Dataset.from_dict(columns), np.arange(1, count + 1), np.full(count, "train", object), "train")


def test_empty_texts_are_counted_with_those_that_cannot_be_seen() -> None:
    told: list[tuple[str, str]] = []

    with collected(lambda reason, message: told.append((reason, message))):
        check_not_empty(rows(text=["a", "\u200b", " ", "\ufeff\u200d"]), ["text"])

    assert told == [
        ("EmptyTexts", "column 'text' has 3 empty texts, the first in row 2 of split 'train' (counted from 1)")
    ]


@pytest.mark.parametrize("columns", [{"text": ["\u200b", ""]}, {"text": ["", " "], "pair": ["\ufeff", ""]}])
def test_where_all_texts_are_empty_nothing_can_be_learnt(columns: dict[str, list[str]]) -> None:
    with pytest.raises(TrainerError) as caught:
        check_not_empty(rows(**columns), list(columns))

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.DATA, "EmptyText")
    assert caught.value.message == "; ".join(
        f"column '{column}': all 2 texts of split 'train' are empty" for column in columns
    )


def test_where_all_texts_of_one_column_of_two_are_empty_it_is_said() -> None:
    told: list[tuple[str, str]] = []

    with collected(lambda reason, message: told.append((reason, message))):
        check_not_empty(rows(text=["a", "b"], pair=["", "\u200b"]), ["text", "pair"])

    assert told == [("EmptyTexts", "column 'pair': all 2 texts of split 'train' are empty")]
