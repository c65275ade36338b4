"""Rows that are evaluated on, and trained on as well, are reported."""

from typing import Any

import datasets
import numpy as np
import pytest

from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data import shared_rows
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.shared_rows import warn_of_shared_rows


def rows(split: str, **columns: list[Any]) -> Rows:
    dataset = datasets.Dataset.from_dict(columns)
    count = len(dataset)
    return Rows(dataset, np.arange(1, count + 1), np.full(count, split, object), split)


def told(train: Rows, evaluation: Rows, *columns: str) -> list[str]:
    messages: list[str] = []
    with collected(lambda reason, message: messages.append(f"{reason}: {message}")):
        warn_of_shared_rows(train, evaluation, columns)
    return messages


def chat(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "why?"}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize(
    ("values", "others"),
    [
        (["a", "b", "c", "d"], ["x", "b", "d", "y"]),
        ([["a"], ["b", "c"], ["d"]], [["x"], ["b", "c"], ["d"], ["y"]]),
        ([chat("a"), chat("b"), chat("c")], [chat("x"), chat("b"), chat("c"), chat("y")]),
    ],
)
def test_rows_that_are_in_both_are_counted_and_the_first_is_named(values: list[Any], others: list[Any]) -> None:
    message = told(rows("train", text=values, label=[0] * len(values)), rows("test", text=others), "text")

    assert len(message) == 1
    assert message[0].startswith(
        "RowsInBoth: 2 of 4 rows of split 'test' are also among those of split 'train' that are trained on, the first is row 2 of "
    )


@pytest.mark.parametrize("feature", [datasets.List(datasets.Json()), datasets.Json()])
def test_chats_that_are_kept_as_json_are_found(feature: Any) -> None:
    def kept(split: str, *answers: str) -> Rows:
        features = datasets.Features({"text": feature})
        dataset = datasets.Dataset.from_dict({"text": [chat(answer) for answer in answers]}, features)
        return Rows(dataset, np.arange(1, len(answers) + 1), np.full(len(answers), split, object), split)

    assert "1 of 2 rows" in told(kept("train", "a", "b"), kept("test", "x", "b"), "text")[0]


def test_all_texts_of_a_row_count_and_whole_numbers_do_not() -> None:
    train = rows("train", text=["a", "b"], pair=["1", "2"], id=[1, 2])

    assert told(train, rows("test", text=["a", "b"], pair=["2", "1"], id=[1, 2]), "text", "pair", "id") == []
    assert told(train, rows("test", text=["a", "ab"], pair=["2", ""], id=[1, 2]), "text", "pair", "id") == []
    assert (
        "2 of 2 rows" in told(train, rows("test", text=["b", "a"], pair=["2", "1"], id=[7, 8]), "text", "pair", "id")[0]
    )


def test_a_few_texts_that_are_the_same_by_chance_are_taken_without_a_word() -> None:
    train = rows("train", text=[f"text {number}" for number in range(50)])

    assert told(train, rows("test", text=["text 7", *(f"other {number}" for number in range(5))]), "text") == []
    assert len(told(train, rows("test", text=["text 7", *(f"other {number}" for number in range(4))]), "text")) == 1


def test_of_many_rows_some_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "_MOST", 10)
    monkeypatch.setattr(shared_rows, "_AT_ONCE", 7)
    texts = [f"text {number}" for number in range(95)]

    message = told(rows("train", text=texts[30:]), rows("test", text=texts), "text")

    assert message[0].startswith("RowsInBoth: 7 of 10 rows")
    assert "the first is row 31 of split 'test'" in message[0]


def test_columns_that_are_in_one_split_or_hold_no_text_are_passed_over() -> None:
    train = rows("train", text=["a"], system=["b"], none=[None])

    assert "1 of 1 rows" in told(train, rows("test", text=["a"], none=[None]), "text", "system", "none")[0]
    assert told(train, rows("test", none=[None]), "system", "none") == []


@pytest.mark.parametrize("messages", [chat("a"), {"role": ["user", "assistant"], "content": ["why?", "a"]}])
def test_of_chats_that_are_not_compared_their_system_turns_are_not_either(
    messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_rows, "_MOST_CHATS", 2)
    train = rows("train", messages=[messages] * 3, system=["Be kind."] * 3)
    evaluation = rows("test", messages=[chat("b")] if isinstance(messages, list) else [messages], system=["Be kind."])
    assert told(train, evaluation, "messages", "system") == []


def test_chats_that_are_kept_as_structures_of_lists_are_compared() -> None:
    def turns(answer: str) -> dict[str, list[str]]:
        return {"role": ["user", "assistant"], "content": ["why?", answer]}

    train = rows("train", messages=[turns("a"), turns("b")], system=["Be kind."] * 2)
    assert told(train, rows("test", messages=[turns("c")], system=["Be kind."]), "messages", "system") == []
    [message] = told(train, rows("test", messages=[turns("b")], system=["Be kind."]), "messages", "system")
    assert message.startswith("RowsInBoth: 1 of 1 rows")


def test_texts_are_compared_in_the_chunks_in_which_they_lie() -> None:
    """All of a batch in one array could be more than its offsets count: 2 GiB."""
    train = rows("train", text=["a", "b"])
    chunked = datasets.concatenate_datasets([rows("test", text=[text]).dataset for text in ("x", "b")])
    evaluation = Rows(chunked, np.arange(1, 3), np.full(2, "test", object), "test")

    [message] = told(train, evaluation, "text")

    assert message.startswith("RowsInBoth: 1 of 2 rows")
    assert "the first is row 2 of split 'test'" in message
