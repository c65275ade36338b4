"""CSV is read as it is written; what a reader would have to guess ends with file and line named."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.trainer.readers.reading import LINES, READ, ROWS, Read, failure

from finetune_api.sources import Dataset
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.readers import csv_rows


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize(("name", "content"), [("a.csv", ROWS), ("a.jsonl", LINES)])
def test_what_spreadsheets_write_is_read(read: Read, name: str, content: str, encoding: str) -> None:
    assert read({name: content.encode(encoding)}).dataset[:] == READ
