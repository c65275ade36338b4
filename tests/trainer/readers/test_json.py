"""JSON is read in each of its forms, with values as they are written."""

import json
from typing import Any

import datasets
import pytest
from tests.trainer.readers.reading import LINES, READ, Read, failure

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.columns import check_columns, check_text


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES.replace("\n", "\r\n\r\n"),
        '[{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]',
        '\n[\n{"text": "a", "label": "x"},\n{"label": "y", "text": "b"}]',
        '{\n "text": ["a", "b"],\n "label": ["x", "y"]\n}',
        '{"text": {"4": "a", "0": "b"}, "label": {"4": "x", "0": "y"}}',
        '{\n "text": {"4": "a", "0": "b"},\n "label": {"4": "x", "0": "y"}\n}',
        '{"4": {"text": "a", "label": "x"}, "0": {"text": "b", "label": "y"}}',
    ],
)
def test_json_is_read_in_each_of_its_forms(read: Read, content: str) -> None:
    assert read({"a.json": content}).dataset[:] == READ


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (LINES + '{"text": "c", "label": \n', "DatasetUnreadable", "a.jsonl cannot be read: line 3, column 23 is no JSON"),
        (LINES + "[1]\n", "DatasetUnreadable", "a.jsonl cannot be read: line 3 holds a list and not an object"),
        (LINES + '{"text": "c", "label": "x", "label": "y"}', "DuplicateColumn", "a.jsonl has the column 'label' twice, in line 3"),
        (LINES + '{"text": "\\ud800", "label": "x"}', "NotUtf8", "column 'text' in a.jsonl, line 3 holds half of a character"),
        (LINES + '{"text": "c", "label": 3}', "ColumnType",
         "column 'label' holds values of several types: text ('x') in a.jsonl, line 1 and a number (3) in a.jsonl, line 3"),
        (LINES + '{"text": "c"}', "ValueMissing", "column 'label' is empty in row 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_line_names_it(read: Read, content: str, reason: str, message: str) -> None:
    found = failure(read, {"a.jsonl": content})

    assert found.reason == reason
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    "content",
    [
        LINES.replace("\n", ""),
        LINES.replace("}\n", "},\n"),
        LINES.replace('"a",', '"a",\n').replace('"b",', '"b",\n'),
        '["a", "x"]\n["b", "y"]\n',
    ],
)
def test_objects_that_are_neither_lines_nor_a_list_are_told_how_to_be_written(read: Read, content: str) -> None:
    found = failure(read, {"a.json": content})

    assert "is no JSON: Extra data" in found.message
    assert str(found.hint).startswith("write one object a line")


@pytest.mark.parametrize(
    "others",
    [
        [9007199254740993, 1.5],
        [1.5, 9007199254740993],
        [10**400, 1.5],
        [10**19, 1, 1.5],
        [-(2**63), 2**63],
    ],
)
def test_numbers_that_no_float_holds_stand_in_the_way_of_no_other_column(read: Read, others: list[Any]) -> None:
    rows = [{"text": "a", "label": "x", "id": number} for number in others]

    for files in (
        {"a.jsonl": "\n".join(map(json.dumps, rows))},
        {f"train-{number}.jsonl": json.dumps(row) for number, row in enumerate(rows)},
    ):
        found = read(files)
        assert found.dataset[:]["text"] == ["a"] * len(others)


def test_whole_numbers_beyond_64_bits_are_read_by_their_digits(read: Read) -> None:
    rows = [
        {"text": "a", "label": "x", "id": 2**64, "more": {"ids": [2**63, -(10**400)]}},
        {"text": "b", "label": "y", "id": 1.5},
    ]
    found = read({"a.jsonl": "\n".join(map(json.dumps, rows))})

    assert [found.dataset[number]["id"] for number in (0, 1)] == [str(2**64), 1.5]
    assert found.dataset[0]["more"] == {"ids": [2**63, str(-(10**400))]}


def test_whole_numbers_of_64_bits_stay_whole(read: Read) -> None:
    found = read({f"train-{n}.jsonl": json.dumps({"text": "a", "label": n}) for n in (2**53 + 1, 3, -(2**62))})

    assert found.dataset.features["label"] == datasets.Value("int64")
    assert sorted(found.dataset["label"]) == [-(2**62), 3, 2**53 + 1]


def test_a_number_of_thousands_of_digits_is_refused_with_its_line(read: Read) -> None:
    found = failure(read, {"a.jsonl": LINES + '{"text": "c", "label": ' + "9" * 5000 + "}"})

    assert found.message.startswith("a.jsonl cannot be read: what line 3 holds: Exceeds the limit (4300 digits)")


def test_half_of_a_character_in_the_name_of_a_column_is_refused_by_file(read: Read) -> None:
    found = failure(read, {"a.jsonl": '{"text": "a", "label": "x", "\\ud83d": 1}'})

    assert found.message == "the name of the column '\\ud83d' in a.jsonl holds half of a character"


def test_rows_within_an_object_are_pointed_out(read: Read) -> None:
    for content in ('{"data": [{"text": "a", "label": 0}]}', '{\n"version": 1,\n"data": [{"text": "a", "label": 0}]}'):
        assert "within 'data'" in str(failure(read, {"a.json": content}).hint)


def test_a_row_that_is_all_rows_is_told_how_to_write_them(read: Read) -> None:
    split = read({"a.json": '{"columns": ["text", "label"], "data": [["a", "x"], ["b", "y"]]}'}, ())
    with pytest.raises(TrainerError) as caught:
        check_columns(split, {"text": "text"})
    lists = read({"a.json": '{"text": ["a", "b"], "label": ["x", "y"]}'})
    with pytest.raises(TrainerError) as also:
        check_text(lists, "text", "text")

    assert "orient='records'" in str(caught.value.hint)
    assert "orient='records'" in str(also.value.hint)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 25_000])
def test_types_are_those_of_all_rows_and_not_of_the_first(read: Read, count: int) -> None:
    lines = ['{"text": "a", "label": 1, "chat": [{"role": "user"}]}'] * count
    lines += ['{"text": "b", "label": 1.5, "chat": [{"role": "tool", "id": "7"}]}']

    rows = read({"a.jsonl": "\n".join(lines)}, ("text", "label", "chat"))

    assert rows.dataset[-1] == {"text": "b", "label": 1.5, "chat": [{"role": "tool", "id": "7"}]}
    assert rows.dataset[0] == {"text": "a", "label": 1.0, "chat": [{"role": "user"}]}


def test_a_text_that_looks_like_a_date_or_a_number_stays_text_in_json(read: Read) -> None:
    line = '{"text": "2020-01-01", "label": [{"of": "7"}, {"of": [1]}]}'

    assert read({"a.jsonl": line}).dataset[0] == {"text": "2020-01-01", "label": [{"of": "7"}, {"of": [1]}]}
