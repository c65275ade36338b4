"""Rows are read as they are written, all of them; what a reader would have to guess ends with file and line named."""

import bz2
import csv
import errno
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from finetune_api.report import ExitCode
from finetune_api.sources import Dataset
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.columns import check_columns, check_text
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.readers import csv_rows
from finetune_trainer.data.rows import Rows

Read = Callable[..., Rows]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes files into a folder of their own and reads it, or the file where there is one; checks columns."""

    def read(files: dict[str, str | bytes], checked: tuple[str, ...] = ("text", "label"), **settings: Any) -> Rows:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        source = folder if len(files) > 1 else folder / next(iter(files))
        dataset = Dataset(**{"source": f"file://{source}", "train": {"split": "train"}} | settings)
        rows, _ = load_rows(dataset, {})
        check_columns(rows, {column: column for column in checked})
        return rows

    return read


def failure(read: Read, files: dict[str, str | bytes], **settings: Any) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        read(files, **settings)
    assert caught.value.exit_code == ExitCode.DATA
    return caught.value


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


ROWS = "text,label\na,x\nb,y\n"
LINES = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
READ = {"text": ["a", "b"], "label": ["x", "y"]}


def test_a_folder_a_class_is_told_how_to_be_written(read: Read) -> None:
    files: dict[str, str | bytes] = {
        f"{split}/{name}/1.txt": "a film\n" for split in ("train", "test") for name in ("pos", "neg")
    }

    found = failure(read, files)

    assert found.message == "split 'train' has no column 'label', only text"
    assert found.hint is not None
    assert found.hint.endswith('with a row for each file: {"text": …, "label": "pos"}')


# Csv


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("text,label\na,0\nb,10\nc,2\n", [0, 10, 2]),
        ("text,label\na, 0\nb,1 \n", [0, 1]),
        ("text,label\na,-1.5\nb,2\nc,1e-3\n", [-1.5, 2.0, 0.001]),
        ("text,label\na,007\nb,7\n", ["007", "7"]),
        ("text,label\na,true\nb,False\n", ["true", "False"]),
        ("text,label\na,1\nb,3+\n", ["1", "3+"]),
        ("text,label\na,12345678901234567890\nb,1\n", ["12345678901234567890", "1"]),
        ("text,label\na,2020-01-01\nb,1\n", ["2020-01-01", "1"]),
        ('text,label\na,"1,234"\nb,1\n', ["1,234", "1"]),
    ],
)
def test_a_column_of_a_csv_file_is_numbers_only_where_nothing_is_lost(
    read: Read, content: str, labels: list[object]
) -> None:
    assert read({"a.csv": content}).dataset["label"][:] == labels


def test_texts_of_digits_are_texts(read: Read) -> None:
    assert read({"a.csv": "text,label\n007,0\n12,1\n"}).dataset[:] == {"text": ["007", "12"], "label": [0, 1]}


def test_a_label_is_a_number_also_where_its_column_has_the_name_of_a_text(read: Read) -> None:
    rows = read({"a.csv": "text,target\na,1.5\nb,2\n"}, ("text", "target"), columns={"label": "target"})

    assert rows.dataset["target"][:] == [1.5, 2.0]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('text,label\n"a\nb, c",x\n"say ""hi""",y\n', {"text": ["a\nb, c", 'say "hi"'], "label": ["x", "y"]}),
        ('text,label\n"Hello, you\nbye",x\n"Dear all, hi\nbye",y\n',
         {"text": ["Hello, you\nbye", "Dear all, hi\nbye"], "label": ["x", "y"]}),
        ('text,label\na 20" screen,x\nb,y\n', {"text": ['a 20" screen', "b"], "label": ["x", "y"]}),
        ("text,label\r\na,x\r\nb,y\r\n", READ),
        ("text,label\ra,x\rb,y\r", READ),
        ("\n\ntext,label\n\na,x\n  \nb,y\n\n", READ),
        ("text,label\na,x\nb,y", READ),
        ("\ufefftext,label\na,x\nb,y\n", READ),
        ("text,label,\na,x,\nb,y,\n", READ | {"Unnamed: 2": [None, None]}),
    ],
)  # fmt: skip
def test_csv_is_read_by_the_rules_of_rfc_4180(read: Read, content: str, rows: dict[str, Any]) -> None:
    assert read({"a.csv": content}).dataset[:] == rows


def test_a_text_of_any_length_is_read(read: Read) -> None:
    assert read({"a.csv": f"text,label\n{'x' * 300_000},0\nb,1\n"}).dataset["text"][0] == "x" * 300_000


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            "text,label\nHello there, you,0\nb,1\n",
            "a.csv, line 2: 3 fields, and the header has 2 (text, label)",
            "quotes",
        ),
        ("text,label\nb,1\nHello, there, you,0\n", "a.csv, line 3: 4 fields, and the header has 2", "quotes"),
        ("text,label\na,0,\nb,1,\n", "a.csv, line 2: 3 fields, and the header has 2", "the line ends in a ','"),
        ("text,label\n1,a,0\n2,b,1\n", "a.csv, line 2: 3 fields, and the header has 2", "begin it with a ','"),
        ('text,label\n"a\nb",0\nc\n', "a.csv, line 4: 1 field, and the header has 2", "is the row cut"),
        (
            'label,text\n0, "a, b"\n',
            "a.csv, line 2: 3 fields, and the header has 2",
            "take the blanks between ',' and \" away",
        ),
        ("text,label\n'a, b',0\n", "a.csv, line 2: 3 fields, and the header has 2", 'into double quotes (")'),
    ],
)
def test_a_row_of_another_length_than_the_header_is_refused(read: Read, content: str, message: str, hint: str) -> None:
    found = failure(read, {"a.csv": content})

    assert found.reason == "FieldsDoNotFit"
    assert found.message.startswith(message)
    assert hint in str(found.hint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('text,label\nx,1\n"a b,0\nc,1\nd,0\n', "a.csv, line 3: a text that begins with a quote is never closed"),
        ('text,label\n"a b,0\nc "d" e,1\n', "a.csv, line 2: a text begins with a quote, and after the closing quote it goes on"),
        ('text,label\n"a b,0\nc,1\nd",0\ne,0\nf,1\n', "a.csv, line 2: a text begins with a quote that ends only in line 4"),
        ('label,text\n0,"a b\n1,c\n0,d"\n0,e\n1,f\n', "a.csv, line 2: a text begins with a quote that ends only in line 4"),
    ],
)  # fmt: skip
def test_an_open_quote_never_swallows_rows(read: Read, content: str, message: str) -> None:
    found = failure(read, {"a.csv": content})

    assert found.reason == "QuotesBroken"
    assert found.message.startswith(message)


@pytest.mark.parametrize("last", ['a 20" screen"', 'screen"'])
def test_a_tsv_file_whose_quotes_do_not_fit_is_read_without_quoting_and_that_is_reported(read: Read, last: str) -> None:
    lines = ["text\tlabel", "a\t0", '"b\t1', "c\t0", f"{last}\t1", "d\t0"]
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(reason)):
        rows = read({"a.tsv": "\n".join(lines)})

    assert rows.dataset[:] == {"text": ["a", '"b', "c", last, "d"], "label": [0, 1, 0, 1, 0]}
    assert warnings == ["QuotesReadLiterally"]


def test_a_tsv_file_that_is_quoted_is_read_so(read: Read) -> None:
    assert read({"a.tsv": 'text\tlabel\n"say ""hi""\tand\nbye"\tx\nb\ty\n'}).dataset[0] == {
        "text": 'say "hi"\tand\nbye', "label": "x",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "b.tsv"])
def test_a_header_among_the_rows_is_no_row(read: Read, name: str) -> None:
    sign = "\t" if name.endswith(".tsv") else ","
    lines = ["text,label", "a,x", '"b', 'c",y', "text,label", "d,x"]

    found = failure(read, {name: "\n".join(lines).replace(",", sign)})

    assert found.message == (
        f"{name}, line 5: it names the columns again (text, label), as where files were joined of which each has a header"
    )


def test_blank_lines_before_the_rows_may_be_any_number(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "CHARACTERS_AT_ONCE", 20)

    assert read({"a.csv": "text,label\n" + "\n" * 50 + "a,x\nb,y\n"}).dataset[:] == READ


@pytest.mark.parametrize("above", [",\n,\n", " \n", " ,\n", '"",\n'])
def test_lines_without_a_name_above_the_header_are_passed_over(read: Read, above: str) -> None:
    """As spreadsheets write empty rows."""
    assert read({"a.csv": f"{above}text,label\na,x\nb,y\n"}).dataset[:] == READ


def test_the_name_of_the_only_column_may_be_one_of_its_texts(read: Read) -> None:
    assert read({"a.csv": "text\na\ntext\n"}, ("text",)).dataset["text"][:] == ["a", "text"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_line_that_tells_excel_the_separator_is_no_header(read: Read, first: str, encoding: str) -> None:
    content = f'{first}\r\ntext;label\r\n"a";x\r\n"b";y\r\n'

    assert read({"a.csv": content.encode(encoding)}).dataset[:] == READ
    assert failure(read, {"a.csv": f"{content}c\r\n".encode(encoding)}).message.startswith("a.csv, line 5: 1 field")


def test_blanks_before_the_quotes_of_each_row_are_reported(read: Read) -> None:
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(message)):
        rows = read({"a.csv": 'label,text,more\nx, "a", "b"\ny, "b",c\n'})
        read({"a.csv": 'label,text\nx, "a"\ny,b\n'})

    assert rows.dataset["text"][:] == [' "a"', ' "b"']
    assert [message.split(", as")[0] for message in warnings] == [
        "a.csv, line 2: a blank stands before the quote of 'text'"
    ]


@pytest.mark.parametrize(
    ("header", "names", "alike"),
    [
        ("text\u00a0,label", "'text\\u00a0', label; did you mean 'text\\u00a0'?", "the data calls it 'text\\u00a0'"),
        ("\u200btext,label", "'\\u200btext', label; did you mean '\\u200btext'?", "the data calls it '\\u200btext'"),
        (" text,label", "' text', label; did you mean ' text'?", "the data calls it ' text'"),
        ("Text,label", "Text, label; did you mean 'Text'?", "the data calls it 'Text'"),
        ("it is a good film,1", "it is a good film, 1", "does the first line of the file hold a row?"),
        ("words,label", "words, label", "set dataset.columns.text to the column that holds it"),
    ],
)
def test_a_column_that_is_not_there_is_shown_what_is(read: Read, header: str, names: str, alike: str) -> None:
    found = failure(read, {"a.csv": f"{header}\na,x\n"})

    assert found.message == f"split 'train' has no column 'text', only {names}"
    assert str(found.hint).startswith(alike)


def test_a_name_twice_is_refused_where_its_column_is_read(read: Read) -> None:
    content = "text,text,label,id,id\na,b,x,1,2\nc,d,y,1,2\n"

    assert read({"a.csv": content}, ("label",)).dataset["label"][:] == ["x", "y"]
    assert failure(read, {"a.csv": content}).message == "a.csv has the column 'text' twice"


@pytest.mark.parametrize("sign", [";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_header_without_the_usual_sign_shows_what_parts_the_fields(read: Read, name: str, sign: str) -> None:
    content = f'Nr{sign}"Text "{sign}label\n1{sign}Größe 42, „zu klein“{sign}x\n2{sign}"a ""b""{sign} c\nd"{sign}y\n'

    assert read({name: content}, ("Text ", "label")).dataset[:] == {
        "Nr": [1, 2],
        "Text ": ["Größe 42, „zu klein“", f'a "b"{sign} c\nd'],
        "label": ["x", "y"],
    }


@pytest.mark.slow
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_written_as_csv_is_read_back(tmp_path: Path, written: list[tuple[str, int]]) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text", "number"), *((f"c{n}", f"t{text}", n) for text, n in written)])

    rows, _ = load_rows(Dataset(source=f"file://{tmp_path}/a.csv", train={"split": "train"}), {})

    assert rows.dataset["text"][:] == [f"t{text}" for text, _ in written]
    assert rows.dataset["number"][:] == [number for _, number in written]


# Text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize(("name", "content"), [("a.csv", ROWS), ("a.jsonl", LINES)])
def test_what_spreadsheets_write_is_read(read: Read, name: str, content: str, encoding: str) -> None:
    assert read({name: content.encode(encoding)}).dataset[:] == READ


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


@pytest.mark.parametrize("content", ["{'text': 'a', 'label': 0}\n", "[{'text': 'a', 'label': 0}]"])
def test_objects_in_pythons_own_form_are_told_as_such(read: Read, content: str) -> None:
    found = failure(read, {"a.jsonl": content})

    assert found.reason == "DatasetUnreadable"
    assert found.hint == "write it by json.dumps: Python's own form, in which str and print write objects, is no JSON"


@pytest.mark.parametrize("column", ["PAR1", "ARROW1", "version", "PK", "{text}"])
def test_a_header_that_begins_as_another_format_does_is_a_header(read: Read, column: str) -> None:
    assert read({"a.csv": f"{column},text,label\n4,a,x\n"}).dataset[:][column] == [4]


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


# Json


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


# Several files


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


# Configurations, and what is kept

CONFIGS = """---
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: en.jsonl
- config_name: de
  data_files: de.csv
---
"""
TWO = {"README.md": CONFIGS, "en.jsonl": LINES, "de.csv": "text,label\nc,z\n"}


def test_the_configuration_that_is_asked_for_is_read(read: Read) -> None:
    assert read(TWO, name="de").dataset[:] == {"text": ["c"], "label": ["z"]}
    assert read(TWO, name="en").dataset[:] == READ
    assert read(TWO).dataset[:] == READ


def test_a_configuration_that_is_not_there_is_reported_with_those_that_are(read: Read) -> None:
    found = failure(read, TWO, name="den")

    assert found.reason == "DatasetNameUnknown"
    assert "no configuration 'den', only en, de" in found.message


def test_without_a_default_a_configuration_has_to_be_named(read: Read) -> None:
    files = {**TWO, "README.md": CONFIGS.replace("  default: true\n", "")}

    assert failure(read, files).reason == "DatasetNameNeeded"
    assert len(read(files, name="de").dataset) == 1


@pytest.mark.parametrize("files", [{"a.csv": ROWS}, {"train.csv": ROWS, "test.csv": ROWS}])
def test_a_name_where_there_are_no_configurations_is_refused(read: Read, files: dict[str, str | bytes]) -> None:
    assert failure(read, files, name="de").reason == "DatasetNameUnknown"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.csv",
        "../beside.csv",
        "a/../../b.csv",
        "~/x.csv",
        "https://169.254.169.254/x.csv",
        "zip://a::file:///b.csv",
    ],
)
@pytest.mark.parametrize(
    "named", ["data_files: {}", "data_files:\n  - split: train\n    path: [a.csv, '{}']", "data_dir: {}"]
)
def test_a_readme_leads_to_no_file_but_those_of_its_data_set(read: Read, path: str, named: str) -> None:
    readme = f"---\nconfigs:\n- config_name: a\n  {named.format(path)}\n---\n"

    with pytest.raises(TrainerError, match="names a file that is not its own"):
        read({"README.md": readme, "a.csv": "text,label\na,x\n"})


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("configs: [", "expected the node content"),
        ("- a", "should be a dict"),
        ("configs: en", "Expected configs to be a list"),
        ("configs:\n- data_files: a.jsonl", "Each config must include `config_name`"),
        ("configs:\n- config_name: a\n  data_files: {train: a.jsonl}", "Expected data_files in YAML"),
        ("configs:\n- config_name: a\n  data_files:\n  - {split: 1, path: a.jsonl}", "expected string"),
        ("configs:\n- config_name: a\n  data_files: b.jsonl", "Unable to find 'b.jsonl'"),
        ("configs:\n- config_name: a\n  data_dir: b", "doesn't contain any data files"),
        ("configs:\n- {config_name: a, default: true}\n- {config_name: b, default: true}", "several default configs"),
        ("configs:\n- config_name: a\n  data_files: a.jsonl\n  sep: '||'", "'||' is not a single character"),
        ("dataset_info: x", "'str' object"),
        ("dataset_info:\n  features:\n  - name: text\n    dtype: strong", "'Strong' not found"),
    ],
)
def test_a_readme_that_cannot_be_used_is_named_with_what_is_wrong_in_it(read: Read, metadata: str, why: str) -> None:
    found = failure(read, {"README.md": f"---\n{metadata}\n---\n", "a.jsonl": LINES})

    assert found.reason == "DatasetUnreadable"
    assert ": the metadata at the top of its README.md cannot be used: " in found.message
    assert why in found.message
    assert "README.md" in str(found.hint)


def test_a_readme_in_latin_1_is_named(read: Read) -> None:
    found = failure(read, {"README.md": "---\nlicense: mit\n---\nCafé".encode("latin1"), "a.jsonl": LINES})

    assert (found.reason, "its README.md is not UTF-8" in found.message) == ("NotUtf8", True)


def test_a_separator_that_the_readme_names_is_used(read: Read) -> None:
    readme = "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n  sep: ';'\n---\n"

    assert read({"README.md": readme, "a.csv": "text;label\na, b;x\n"}).dataset[0] == {"text": "a, b", "label": "x"}


def test_a_separator_of_several_characters_is_used_where_the_readme_names_the_columns(read: Read) -> None:
    readme = (
        "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n  sep: '\\s+'\n  header: null\n"
        "  names: [text, label]\n---\n"
    )

    assert read({"README.md": readme, "a.csv": "a x\nb   y\n"}).dataset[:] == {"text": ["a", "b"], "label": ["x", "y"]}


def test_classes_that_the_readme_declares_are_kept(read: Read) -> None:
    readme = (
        "---\ndataset_info:\n  features:\n  - name: text\n    dtype: string\n  - name: label\n    dtype:\n"
        "      class_label:\n        names:\n          '0': bad\n          '1': good\n---\n"
    )
    rows = read({"README.md": readme, "a.jsonl": '{"text": "a", "label": 1}'})

    assert rows.dataset.features["label"] == datasets.ClassLabel(names=["bad", "good"])


@pytest.mark.parametrize("readme", [CONFIGS, "# Rows"])
def test_folders_of_one_name_and_edited_files_are_distinguished_by_what_they_hold(
    read: Read, tmp_path: Path, readme: str
) -> None:
    def rows(folder: str) -> Any:
        source = {"source": f"file://{tmp_path}/{folder}/data", "train": {"split": "train"}}
        return load_rows(Dataset(**source), {})[0].dataset["text"][:]

    for folder, text in (("one", "a"), ("two", "b")):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "data" / "README.md").write_text(readme)
        (tmp_path / folder / "data" / "en.jsonl").write_text(f'{{"text": "{text}"}}')
        os.utime(tmp_path / folder / "data" / "en.jsonl", (1e9, 1e9))
        if readme == CONFIGS:
            (tmp_path / folder / "data" / "de.csv").write_text("text\nc\n")

    first, second = rows("one"), rows("two")
    (tmp_path / "one" / "data" / "en.jsonl").write_text('{"text": "c"}')
    os.utime(tmp_path / "one" / "data" / "en.jsonl", (1e9, 1e9))

    assert (first, second, rows("one")) == (["a"], ["b"], ["c"])


def test_what_was_reported_of_a_file_is_reported_again_when_it_is_not_read_again(read: Read) -> None:
    files = {"a.tsv": 'text\tlabel\n"a\tx\nb" c\ty\n'}
    read(files)
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(reason)):
        read(files)

    assert warnings == ["QuotesReadLiterally"]


def test_a_cache_without_room_is_no_failure_of_the_data(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("finetune_trainer.data.readers.row_cache.ArrowWriter.write_table", full)

    with pytest.raises(TrainerError) as caught:
        read({"a.csv": "text,label\nroom,0\nno room,1\n"})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "CacheFull")


def test_what_a_killed_process_left_of_its_reading_is_deleted(read: Read) -> None:
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "files"
    files = {"a.csv": "text,label\nkilled,0\nagain,1\n"}
    read(files)
    kept = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    leftover = kept.rename(kept.with_name(f"{kept.name}.killed"))

    read(files)

    assert (kept.is_dir(), leftover.exists()) == (True, False)


# Parquet


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
