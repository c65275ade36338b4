"""Packed files, files in other encodings, and files that are not what they seem."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from tests.trainer.readers.reading import LINES, READ, ROWS, Read, failure, parquet


def test_a_folder_a_class_is_told_how_to_be_written(read: Read) -> None:
    files: dict[str, str | bytes] = {
        f"{split}/{name}/1.txt": "a film\n" for split in ("train", "test") for name in ("pos", "neg")
    }

    found = failure(read, files)

    assert found.message == "split 'train' has no column 'label', only text"
    assert found.hint is not None
    assert found.hint.endswith('with a row for each file: {"text": …, "label": "pos"}')


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("texts", [["добрый день", "нет, спасибо"], ["世界上的一切", "一"], ["Ħello", "a"]])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_wide_text_of_any_script_is_read_and_said_once(
    read: Read, name: str, texts: list[str], encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [{"text": text, "label": f"да{number}"} for number, text in enumerate(texts)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    table = ["text,label", *(f'"{row["text"]}",{row["label"]}' for row in rows)]
    content = "\n".join(table if name.endswith("csv") else lines) + "\n"

    found = read({name: content.encode(encoding)}).dataset[:]

    assert found == {"text": texts, "label": ["да0", "да1"]}
    assert [said for said in caplog.messages if said.startswith(name)] == [f"{name} is {encoding.upper()}"]


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", ROWS), ("a.jsonl", LINES), ("a.json", f"[{LINES.replace(chr(10), ',')[:-1]}]")]
)
@pytest.mark.parametrize(("suffix", "pack"), [
    (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress),
    (".zst", lambda content: pa.Codec("zstd").compress(content, asbytes=True)), (".gz", bytes),
])  # fmt: skip
def test_a_packed_file_is_read_alone(
    read: Read, name: str, content: str, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    assert read({name + suffix: pack(content.encode())}).dataset[:] == READ


def test_a_torn_packed_file_is_reported(read: Read) -> None:
    found = failure(read, {"a.csv.gz": gzip.compress(ROWS.encode())[:-9]})

    assert (found.reason, found.message.split(":")[0]) == ("DatasetUnreadable", "a.csv.gz cannot be read")


def test_a_file_in_latin_1_is_refused_with_its_line(read: Read) -> None:
    found = failure(read, {"a.csv": "text,label\na,x\ncafé,y\n".encode("latin-1")})

    assert (found.reason, found.message) == ("NotUtf8", "a.csv is not UTF-8: byte 0xe9 in line 3")
    assert found.hint is not None
    assert "iconv -f cp1252 -t utf-8" in found.hint


@pytest.mark.parametrize(
    ("encoding", "table"),
    [
        ("cp1251", "text,label\nдобрый день,да\n"),
        ("koi8-r", "text,label\nнет,да\n"),
        ("gb18030", "text,label\n一切都好,是\n"),
    ],
)
def test_a_file_of_another_script_is_told_what_that_is_saved_as(read: Read, encoding: str, table: str) -> None:
    found = failure(read, {"a.csv": table.encode(encoding)})

    assert (found.reason, found.message.startswith("a.csv is not UTF-8: byte 0x")) == ("NotUtf8", True)
    assert found.hint is not None
    assert (
        "iconv -f cp1251 -t utf-8 (Windows of Cyrillic; older Cyrillic has koi8-r or cp866, Chinese gb18030"
        in found.hint
    )


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"


@pytest.mark.parametrize(
    ("name", "content", "what", "hint"),
    [
        ("a.csv", b"PK\x03\x04rest", "an archive (zip) or a spreadsheet, and not .csv", "export it as csv"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "a spreadsheet of an old form", "export it as csv"),
        ("a.jsonl.bz2", bz2.compress(b"SQLite format 3\x00"), "a database (SQLite), and not .jsonl", "export it"),
        ("a.jsonl", parquet(text=["a"]), "parquet, and not .jsonl", "end in .parquet"),
        ("a.csv", parquet(text=[]), "parquet, and not .csv", "end in .parquet"),
        ("a.csv", b"ARROW1\0\0", "an Arrow file, and not .csv", "write it as parquet"),
        ("a.parquet", b"ARROW1\0\0", "an Arrow file, and not .parquet", "write it as parquet"),
        ("a.csv", PAGE, "a page of HTML, and not .csv", "Download the file itself"),
        ("a.json", PAGE, "a page of HTML, and not .json", "Download the file itself"),
        ("a.parquet", PAGE, "a page of HTML, and not .parquet", "Download the file itself"),
        ("a.csv", b'{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n', "JSON, and not .csv", "end in .jsonl"),
        ("a.tsv", b'\xef\xbb\xbf[\n {"text": "a"}]', "JSON, and not .tsv", "end in .jsonl"),
        ("a.csv", b'[\n{"text": "a"},\n{"text": "b"}]', "JSON, and not .csv", "end in .jsonl"),
        ("a.csv", POINTER, "a git LFS pointer", "git lfs pull"),
        ("a.jsonl", POINTER, "a git LFS pointer", "git lfs pull"),
        ("a.parquet", POINTER, "a git LFS pointer", "git lfs pull"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_called_what_it_is(
    read: Read, name: str, content: bytes, what: str, hint: str
) -> None:
    found = failure(read, {name: content})

    assert found.message.startswith(f"{name} is {what}")
    assert hint in str(found.hint)
    assert (found.reason == "FileIsLfsPointer") == (content == POINTER)


@pytest.mark.parametrize("content", ["{'text': 'a'}\n", "[{'text': 'a'}]", "[\n  {'text': 'a'}]", "{ 'text': 'a'}"])
def test_objects_in_pythons_own_form_are_told_as_such(read: Read, content: str) -> None:
    found = failure(read, {"a.jsonl": content})

    assert found.reason == "DatasetUnreadable"
    assert found.hint == "write it by json.dumps: Python's own form, in which str and print write objects, is no JSON"


@pytest.mark.parametrize("column", ["PAR1", "ARROW1", "version", "PK", "{text}"])
def test_a_header_that_begins_as_another_format_does_is_a_header(read: Read, column: str) -> None:
    assert read({"a.csv": f"{column},text,label\n4,a,x\n"}).dataset[:][column] == [4]


def test_a_row_whose_first_cell_is_json_is_a_row(read: Read) -> None:
    told = failure(read, {"a.tsv": '{"lang": "en"}\tpos\n{"lang": "fr"}\tneg\n'})

    assert told.reason == "ColumnNotFound"


def test_a_split_without_a_file_that_can_be_read_is_named(read: Read) -> None:
    found = failure(read, {"train.csv": "text,label\na,x\n", "test.xlsx": b"PK\x03\x04"})

    assert found.reason == "UnknownFileType"
    assert found.message.startswith("split 'test' of ")


def test_a_folder_without_a_file_that_can_be_read_names_those_that_are_there(read: Read) -> None:
    found = failure(read, {"a.xlsx": b"PK\x03\x04", "b.xlsx": b"PK\x03\x04"})

    assert found.reason == "UnknownFileType"
    assert found.message.endswith("only a.xlsx, b.xlsx")


def test_what_is_before_the_header_is_pointed_out(read: Read) -> None:
    found = failure(read, {"a.csv": "# exported\ntext,label\na,x\n"})

    assert found.message == "a.csv, line 2: 2 fields, and the header has 1 (# exported)"
    assert str(found.hint).startswith("the first line names the columns: drop what is before it")
