"""Rows of csv and tsv files, read as they are written: nothing is guessed that loses anything.

Quoting is that of RFC 4180. A column is a column of numbers only where each of its values is one, written as a number
is: 007 is text.
"""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_api.separators import is_for_excel, separator_of
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers.bounds import MOST_CHARACTERS, check_columns
from finetune_trainer.data.readers.csv_numbers import Numerals, drift, feature_of
from finetune_trainer.data.readers.decoding import DataFile, Text, text_of
from finetune_trainer.data.readers.tables import (
    CHARACTERS_AT_ONCE,
    ROWS_AT_ONCE,
    Doubt,
    SplitTables,
    columns_that_differ,
)

MISSING = pa.array(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
     "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip
"""What means that there is nothing, as pandas has it."""
_LATE_QUOTE = r'^\s+"'
_FEW = 100
"""A column with no more different values than this can decide whether a line is a row of its own."""


class _OddQuotes(Exception):
    """The file does not fit the rules of quoting, or fits them by what is surely not meant."""

    def __init__(self, error: TrainerError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class _Layout:
    """How a file is written."""

    file: DataFile
    separator: str
    quoted: bool
    header: list[str]
    names: list[str]
    """Those of the header; each has one, and none the same as another."""
    twice: list[str]
    """Names that the header has more than once."""


@dataclass
class _Scan:
    """What is known of a file once it was read."""

    layout: _Layout
    numerals: dict[str, Numerals]
    """Of each column that is not text in any case."""


@dataclass
class _Chunk:
    rows: list[list[str]]
    lines: list[int]
    """In which each row begins; the first line of a file is 1."""


def read_csv(files: Sequence[DataFile], texts: frozenset[str], separator: str | None = None) -> SplitTables:
    """The rows of the files.

    Args:
        texts: Columns that are text, also where they hold nothing but numbers.
        separator: Between fields. If left out a tab for .tsv, else a comma, or what the header shows instead.

    Raises:
        TrainerError: DATA, naming file and line of a row that has more or fewer fields than the header, or whose
            quotes are broken; naming the file that is empty or no text.
    """
    scans = [_scan(file, separator or _separator_in(file), texts) for file in files]
    names = list(dict.fromkeys(name for scan in scans for name in scan.layout.names))
    found = {
        name: [(scan.layout.file.name, scan.numerals[name]) for scan in scans if name in scan.numerals]
        for name in names
    }
    features = datasets.Features({name: feature_of([numerals for _, numerals in found[name]]) for name in names})
    doubts = columns_that_differ({scan.layout.file.name: scan.layout.names for scan in scans})
    for name in names:
        if text := drift(name, found[name]):
            doubts[name] = text
    for scan in scans:
        for name in scan.layout.twice:
            doubts[name] = Doubt(
                Reason.DUPLICATE_COLUMN,
                f"{scan.layout.file.name} has the column '{name}' twice",
                "give each column a name of its own",
            )

    def tables() -> Iterator[pa.Table]:
        for scan in scans:
            for chunk in _chunks(scan.layout):
                yield _table(scan.layout, chunk, features)

    return SplitTables(features, tables, doubts)


def header_of(file: DataFile, lines: Iterator[str]) -> list[str]:
    """The names of the columns of a file, by its lines. Empty where there are none."""
    first = _first_line(lines)
    rows = csv.reader(chain([first], lines), delimiter=_separator(file, first))
    return next((fields for fields in rows if fields), [])


def _separator_in(file: DataFile) -> str:
    with text_of(file) as text:
        return _separator(file, _first_line(text.lines()))


def _separator(file: DataFile, header: str) -> str:
    """What is between the fields of a file, by its suffix and its header."""
    return separator_of(header, "\t" if file.suffix == ".tsv" else ",")


def _first_line(lines: Iterator[str]) -> str:
    return next((line for line in lines if line.strip() and not is_for_excel(line)), "")


def _scan(file: DataFile, separator: str, texts: frozenset[str]) -> _Scan:
    try:
        return _scanned(_layout(file, separator, quoted=True), texts)
    except _OddQuotes as odd:
        plain = _layout(file, separator, quoted=False)
        if separator != "\t" or not _fits(plain):
            raise odd.error from None
        warn(
            Reason.QUOTES_READ_LITERALLY,
            f"{odd.error.message}. Without quoting each of its lines has {len(plain.names)} fields, so it is read that "
            "way, and all its quotes belong to the texts",
        )
        return _scanned(plain, texts)


def _layout(file: DataFile, separator: str, quoted: bool) -> _Layout:
    with text_of(file) as text:
        try:
            header = next((fields for fields in _reader(_Lines(text), separator, quoted) if _has_names(fields)), None)
        except csv.Error as error:
            raise _torn(file, 1, error) from error
    if header is None:
        raise data_error(
            Reason.DATASET_UNREADABLE, f"{file.name} cannot be read: it is empty", "its first line names the columns"
        )
    check_columns(file.name, len(header))
    names: list[str] = []
    seen: Counter[str] = Counter()
    for number, name in enumerate(header):
        own = name or f"Unnamed: {number}"
        names.append(f"{own}.{seen[own]}" if seen[own] else own)
        seen[name] += 1
    return _Layout(file, separator, quoted, header, names, [name for name, count in seen.items() if name and count > 1])


def _reader(lines: Iterable[str], separator: str, quoted: bool) -> Any:
    csv.field_size_limit(sys.maxsize)  # else 128 KiB
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)


class _Lines:
    """The lines of a text, of which those of the present row are at hand."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self.row: list[str] = []
        self.characters = 0
        """Since it was set to 0."""
        self._of_row = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._text.lines(), start=1):
            self._of_row = (self._of_row if self.row else 0) + len(line)
            if self._of_row > MOST_CHARACTERS:
                raise self._text.too_long(number - len(self.row), "a row")
            if number == 1 and is_for_excel(line):
                line = "\n"
            self.row.append(line)
            self.characters += len(line)
            yield line


@dataclass
class _Swallowed:
    """Rows of more than one line, each of whose lines could be a row of its own."""

    layout: _Layout
    found: list[tuple[int, list[list[str]]]] = field(default_factory=list)
    """Line of the first, and the fields of each line."""
    few: dict[int, set[str] | None] = field(default_factory=dict)
    """The values of each column, where they are few."""

    def look(self, line: int, lines: list[str]) -> None:
        fields = [
            split[0] for split in (list(_reader([text], self.layout.separator, False)) for text in lines) if split
        ]
        if len(fields) > 1 and all(len(row) == len(self.layout.names) for row in fields) and len(self.found) < _FEW:
            self.found.append((line, fields))

    def learn(self, columns: dict[int, Any]) -> None:
        for number, values in columns.items():
            known = self.few.get(number, set())
            if known is not None:
                known = known | set(pc.unique(values).to_pylist())
                self.few[number] = known if len(known) <= _FEW else None

    def check(self) -> None:
        """Raises _OddQuotes where a column with few values has one of them in each of these lines."""
        for line, rows in self.found:
            for number, known in self.few.items():
                if known and all(row[number] in known for row in rows):
                    raise _OddQuotes(
                        data_error(
                            Reason.QUOTES_BROKEN,
                            f"{self.layout.file.name}, line {line}: a text begins with a quote that ends only in line "
                            f"{line + len(rows) - 1}, and each line between looks like a row of its own",
                            _REMEDY,
                        )
                    )


_REMEDY = 'put a text that holds quotes into quotes and double those within ("20"" screen"), or write jsonl or parquet'


def _scanned(layout: _Layout, texts: frozenset[str]) -> _Scan:
    numerals = {name: Numerals() for name in layout.names if name not in texts}
    swallowed, late = _Swallowed(layout), dict.fromkeys(layout.names, layout.quoted)
    first = 0
    for chunk in _chunks(layout, swallowed):
        first = first or chunk.lines[0]
        columns = dict(enumerate(_columns(chunk)))
        swallowed.learn(columns)
        for number, name in enumerate(layout.names):
            if name in numerals:
                numerals[name].look(_without_missing(columns[number]), chunk.lines)
            late[name] = late[name] and pc.all(pc.match_substring_regex(columns[number], _LATE_QUOTE)).as_py()
    swallowed.check()
    for name in (name for name, all_late in late.items() if first and all_late):
        warn(
            Reason.QUOTES_READ_LITERALLY,
            f"{layout.file.name}, line {first}: a blank stands before the quote of '{name}', as in each row, so that its quotes "
            "belong to the texts: where they are not meant, take the blanks away",
        )
    return _Scan(layout, numerals)


def _chunks(layout: _Layout, swallowed: _Swallowed | None = None) -> Iterator[_Chunk]:
    """The rows after the header. `swallowed` is shown those of more than one line."""
    width = len(layout.names)
    with text_of(layout.file) as text:
        lines = _Lines(text)
        reader = _reader(lines, layout.separator, layout.quoted)
        chunk, header, start = _Chunk([], []), True, 1
        try:
            for fields in reader:
                if header or _is_blank(lines.row):
                    header = header and not _has_names(fields)
                else:
                    if len(fields) != width:
                        raise _ragged(layout, start, fields)
                    if width > 1 and fields == layout.header:
                        raise _header_again(layout, start)
                    if swallowed and len(lines.row) > 1:
                        swallowed.look(start, lines.row)
                    chunk.rows.append(fields)
                    chunk.lines.append(start)
                lines.row.clear()
                start = reader.line_num + 1
                if len(chunk.rows) >= ROWS_AT_ONCE or (chunk.rows and lines.characters > CHARACTERS_AT_ONCE):
                    yield chunk
                    chunk, lines.characters = _Chunk([], []), 0
        except csv.Error as error:
            raise _torn(layout.file, start, error) from error
        if chunk.rows:
            yield chunk


def _header_again(layout: _Layout, line: int) -> TrainerError:
    return data_error(
        Reason.DATASET_UNREADABLE,
        f"{layout.file.name}, line {line}: it names the columns again ({listed(layout.names)}), as where files were joined "
        "of which each has a header",
        "drop each such line but the first; if the first is a row, too, write names of columns above it",
    )


def _has_names(fields: list[str]) -> bool:
    """Whether a row may be the header: spreadsheets write rows of which each field is empty above it."""
    return any(map(str.strip, fields))


def _is_blank(lines: list[str]) -> bool:
    return len(lines) == 1 and not lines[0].strip(" \r\n")


def _ragged(layout: _Layout, line: int, fields: list[str]) -> TrainerError:
    width, sign = len(layout.names), "tab" if layout.separator == "\t" else f"'{layout.separator}'"
    if len(fields) == width + 1 and not fields[-1]:
        hint = f"the line ends in a {sign} and the header does not: take it away, or end the header in one too"
    elif len(fields) > width and any(re.match(_LATE_QUOTE, text) for text in fields):
        hint = f'a text in quotes begins with its quote: take the blanks between {sign} and " away'
    elif len(fields) == width + 1 and fields[0].isdecimal():
        hint = (
            f"where the rows begin with a number that the header does not name, begin it with a {sign}; else put texts with a "
            f"{sign} into quotes"
        )
    elif width == 1 and len(fields) > 1:
        hint = f"the first line names the columns: drop what is before it; or put texts with a {sign} into quotes"
    elif len(fields) > width:
        hint = f'put texts with a {sign} into double quotes ("), or write jsonl or parquet'
    else:
        hint = f"is the row cut, or does a {sign} lack where a field is empty?"
    return data_error(
        Reason.FIELDS_DO_NOT_FIT,
        f"{layout.file.name}, line {line}: {len(fields)} field{'s' * (len(fields) != 1)}, and the header has {width} ({listed(layout.names)})",
        hint,
    )


def _torn(file: DataFile, line: int, error: csv.Error) -> _OddQuotes:
    problem = "a text that begins with a quote is never closed"
    if "expected after" in str(error):
        problem = "a text begins with a quote, and after the closing quote it goes on"
    return _OddQuotes(data_error(Reason.QUOTES_BROKEN, f"{file.name}, line {line}: {problem}", _REMEDY))


def _fits(layout: _Layout) -> bool:
    """Whether each line has as many fields as the header."""
    try:
        for _ in _chunks(layout):
            pass
    except (TrainerError, _OddQuotes):
        return False
    return True


def _columns(chunk: _Chunk) -> Iterator[Any]:
    return (pa.array(values, pa.large_string()) for values in zip(*chunk.rows, strict=True))


def _without_missing(values: Any) -> Any:
    return pc.if_else(pc.is_in(values, MISSING.cast(values.type)), None, values)


def _table(layout: _Layout, chunk: _Chunk, features: datasets.Features) -> pa.Table:
    columns = dict(zip(layout.names, map(_without_missing, _columns(chunk)), strict=False))
    made = {}
    for name, feature in features.items():
        values = columns.get(name)
        if values is None:
            made[name] = pa.nulls(len(chunk.rows), feature())
        elif feature.dtype == "string":
            made[name] = values
        elif feature.dtype == "int64":
            made[name] = pc.utf8_trim_whitespace(values).cast(pa.int64())
        else:
            made[name] = pa.array(
                [None if value is None else float(value) for value in values.to_pylist()], pa.float64()
            )
    return pa.table(made)
