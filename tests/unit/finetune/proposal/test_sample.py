"""The first rows of a file, or of a folder's files, in each format."""

import json
from pathlib import Path

import pytest
from tests.unit.finetune.proposal.rows import CHAT

from finetune.errors import Refused
from finetune.proposal.sample import Sample, read_sample


def test_files_of_a_folder_are_taken_by_their_splits(tmp_path: Path) -> None:
    for name, text in (("train-0.csv", "a"), ("train-1.csv", "b"), ("test.csv", "c"), ("dev.jsonl", "")):
        (tmp_path / name).write_text(f"text,label\n{text},1\n" if text else '{"text": "d", "label": 2}\n')
    (tmp_path / "README.md").write_text("# Data")

    sample = read_sample(tmp_path)

    assert (sample.columns["text"], sample.train, sample.evaluation) == (["a", "b"], "train", "validation")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"one, two",1\nthree,2\n'),
        ("a.tsv", "text\tlabel\none, two\t1\nthree\t2\n"),
        ("a.jsonl", '{"text": "one, two", "label": 1}\n\n{"text": "three", "label": 2}\n'),
        ("a.json", '[{"text": "one, two", "label": 1}, {"text": "three", "label": 2}]'),
        ("b.json", '{"text": ["one, two", "three"], "label": [1, 2]}'),
    ],
)
def test_each_format_is_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8-sig")

    assert read_sample(tmp_path / name) == Sample({"text": ["one, two", "three"], "label": [1, 2]}, 2, whole=True)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("text,label\none,1\n", "utf-16"),
        ("text\tlabel\r\none\t1\r\n", "utf-16"),
        ("text\tlabel\r\none\t1\r\n", "utf-16-le"),
        ("text,label\none,1\n", "utf-32"),
        ("\n \ntext;label\none;1\n", "utf-8"),
        ("sep=;\r\ntext;label\r\none;1\r\n", "utf-8-sig"),
        (";\r\n;\r\ntext;label\r\none;1\r\n", "utf-8"),
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, content: str, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))

    assert read_sample(tmp_path / "a.csv") == Sample({"text": ["one"], "label": [1]}, 1, whole=True)


def test_a_file_of_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nGröße,1\n".encode("latin-1"))

    with pytest.raises(Refused, match=r"a\.csv is not UTF-8: convert it from what it was saved as, such as by iconv"):
        read_sample(tmp_path / "a.csv")


def test_parquet_is_read_by_pyarrow(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {"messages": [CHAT, CHAT]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")

    assert read_sample(tmp_path / "a.parquet") == Sample(json.loads(json.dumps(rows)), 2, whole=True)
