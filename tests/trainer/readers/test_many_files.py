"""The files of a folder and of its splits are read together, and none is left out unsaid."""

import pytest
from tests.trainer.readers.reading import LINES, READ, ROWS, Read, failure, parquet

from finetune_trainer.base.run_warnings import collected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": "text,label\nu,0\nv,1\n", "b.csv": "text,label\nw,yes\n"},
         "column 'label' holds numbers in a.csv ('0' in line 2) and words in b.csv ('yes' in line 2)"),
        ({"a.jsonl": '{"text": "a", "label": 0}', "b.jsonl": '\n{"text": "b", "label": "007"}'},
         "column 'label' holds values of several types: a number (0) in a.jsonl, line 1 and text ('007') in b.jsonl, line 2"),
        ({"a.parquet": parquet(text=["a"], label=[0]), "b.parquet": parquet(text=["b"], label=["x"])},
         "column 'label' is int64 in a.parquet and text in b.parquet"),
    ],
)  # fmt: skip
def test_numbers_in_one_file_and_words_in_another_are_refused_by_name(
    read: Read, files: dict[str, str | bytes], message: str
) -> None:
    found = failure(read, files)

    assert (found.reason, found.message) == ("ColumnType", message)


def test_a_column_that_no_task_reads_may_hold_what_it_likes(read: Read) -> None:
    rows = read(
        {"a.jsonl": '{"text": "a", "label": "x", "id": 1}', "b.jsonl": '{"text": "b", "label": "y", "id": "two"}'}
    )
    others = read({"a.csv": "id,text,label\n1,a,x\n", "b.csv": "label,text\ny,b\n"})

    assert rows.dataset.select_columns(["text", "label"])[:] == READ
    assert others.dataset.select_columns(["text", "label"])[:] == READ


def test_words_among_the_numbers_of_a_file_are_labels_as_they_are_written(read: Read) -> None:
    lines = [f"t,{number % 2}" for number in range(12_000)]

    labels = read({"a.csv": "\n".join(["text,label", *lines, "u,a"])}).dataset["label"]

    assert (labels[0], labels[11_999], labels[12_000]) == ("0", "1", "a")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_column_that_only_some_files_of_a_split_have_is_named(read: Read, suffix: str) -> None:
    contents = {"csv": ("text,label\na,x\n", "text,klass\nb,y\n")}.get(
        suffix, ('{"text": "a", "label": "x"}', '{"text": "b", "klass": "y"}')
    )
    found = failure(read, {f"a.{suffix}": contents[0], f"b.{suffix}": contents[1]})

    assert found.reason == "ColumnsDiffer"
    assert found.message.startswith(f"a.{suffix} has the column 'label' and b.{suffix} has not")


def test_splits_may_have_columns_and_formats_of_their_own(read: Read) -> None:
    read({"train.csv": ROWS, "test.jsonl": '{"text": "b", "label": "x"}', "README.md": "# Rows"})
    rows = read({"train.csv": ROWS, "test.jsonl": '{"text": "b"}'})

    assert rows.dataset[:] == READ


def test_tabs_and_commas_in_one_folder_are_each_read_by_their_suffix(read: Read) -> None:
    rows = read({"a.csv": "text,label\na,x\n", "b.tsv": "text\tlabel\nb, c\ty\n"})

    assert rows.dataset[:] == {"text": ["a", "b, c"], "label": ["x", "y"]}


@pytest.mark.parametrize(
    "files",
    [
        {"train.csv": ROWS, "extra.jsonl": LINES},
        {"train.csv": ROWS, "train.jsonl": LINES},
        {"data/a.csv": ROWS, "data/b.parquet": parquet(**READ)},
    ],
)
def test_rows_in_a_second_format_are_never_left_out(read: Read, files: dict[str, str | bytes]) -> None:
    found = failure(read, files)

    assert found.reason == "TwoFormats"
    assert all(name in found.message for name in files)


def test_files_that_are_not_rows_do_not_stand_in_the_way_and_are_reported(read: Read) -> None:
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(message)):
        rows = read({
            "a.csv": ROWS, "label_map.json": '{"0": "x"}', ".hidden.jsonl": LINES, "LICENSE": "free",
            "README.md": "# Rows", ".cache/b.csv": ROWS, "picture.png": b"png",
        })  # fmt: skip

    assert rows.dataset[:] == READ
    assert len(warnings) == 1
    assert "label_map.json" in warnings[0]


def test_a_file_that_belongs_to_no_split_is_reported(read: Read) -> None:
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(message)):
        read({"train.csv": ROWS, "test.csv": "text\nc\n", "more.csv": ROWS})

    assert [message.rpartition(" ")[2] for message in warnings] == ["more.csv"]
