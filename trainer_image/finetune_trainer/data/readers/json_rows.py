"""Rows of json and jsonl files: one object a line, or a list of them. Types are found over all rows, not over the first."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.readers.bounds import (
    MOST_CHARACTERS,
    MOST_OF_A_LIST,
    bomb,
    check_columns,
    most_bytes,
)
from finetune_trainer.data.readers.decoding import DataFile, Text, text_of
from finetune_trainer.data.readers.json_types import Shape, feature_of, merged, shape_of, storage_type, stored
from finetune_trainer.data.readers.tables import (
    CHARACTERS_AT_ONCE,
    ROWS_AT_ONCE,
    Doubt,
    SplitTables,
    columns_that_differ,
)

_BYTES_OF_A_CELL = 8
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class _Row:
    where: str
    """Such as `line 7`."""
    values: dict[str, Any]
    size: int
    """Characters, about."""


@dataclass
class _Scan:
    """What is known of a file once it was read."""

    file: DataFile
    rows: int = 0
    shapes: dict[str, Shape] = field(default_factory=dict)
    firsts: dict[str, dict[str, tuple[Any, str]]] = field(default_factory=dict)
    """Of each column, by kind of value: the first of them, and its place."""


class _Twice(Exception):
    """An object has a key twice."""


def read_json(files: Sequence[DataFile]) -> SplitTables:
    """The rows of the files.

    Raises:
        TrainerError: DATA, naming file and line of what is no JSON, no object, or has a key twice.
    """
    scans = [_scan(file) for file in files]
    full = [scan for scan in scans if scan.rows]
    for scan in scans:
        if not scan.rows and full:
            warn(Reason.EMPTY_FILE, f"{scan.file.name} has no rows")
    shapes: dict[str, Shape] = {}
    for scan in full:
        for name, shape in scan.shapes.items():
            shapes[name] = merged(shapes[name], shape) if name in shapes else shape
    features = datasets.Features({name: feature_of(shape) for name, shape in shapes.items()})
    doubts = columns_that_differ({scan.file.name: list(scan.shapes) for scan in full})
    for name in shapes:
        if mixed := _mixed(name, full):
            doubts[name] = mixed

    def tables() -> Iterator[pa.Table]:
        for scan in full:
            for rows in _chunks(scan.file):
                yield _table(scan.file, rows, shapes)

    return SplitTables(features, tables, doubts)


def keys_of(text: Text) -> list[str]:
    """The keys of the first object. Empty where there is none."""
    return next((list(row.values) for row in _rows(text)), [])


def _scan(file: DataFile) -> _Scan:
    scan, cells, most = _Scan(file), 0, most_bytes([file.path])
    for rows in _chunks(file):
        scan.rows += len(rows)
        names = dict.fromkeys(chain.from_iterable(row.values for row in rows))
        check_columns(file.name, len(scan.shapes.keys() | names))
        if odd := next((name for name in names if not _is_text(name)), None):
            raise _half_of_a_character(f"the name of the column {odd!r} in {file.name}")
        cells += len(rows) * len(names)
        if cells * _BYTES_OF_A_CELL > most:
            raise bomb(
                file.name, "with a value in each row for each of the keys that only some rows have, it takes", most
            )
        for name in names:
            values = [row.values.get(name) for row in rows]
            shape = shape_of(values)
            scan.shapes[name] = merged(scan.shapes[name], shape) if name in scan.shapes else shape
            firsts = scan.firsts.setdefault(name, {})
            kinds = {_KINDS[kind] for kind in set(map(type, values)) if kind in _KINDS} - firsts.keys()
            found = [
                (next(i for i, value in enumerate(values) if _KINDS.get(type(value)) == kind), kind) for kind in kinds
            ]
            firsts |= {kind: (values[index], rows[index].where) for index, kind in sorted(found)}
    return scan


def _mixed(column: str, scans: Sequence[_Scan]) -> Doubt | None:
    """The doubt that a column holds values of several types."""
    firsts: dict[str, str] = {}
    for scan in scans:
        for kind, (value, where) in scan.firsts.get(column, {}).items():
            firsts.setdefault(kind, f"{kind} ({value!r:.60}) in {scan.file.name}, {where}")
    if len(firsts) < 2:
        return None
    return Doubt(
        Reason.COLUMN_TYPE,
        f"column '{column}' holds values of several types: {' and '.join(firsts.values())}",
        "write it the same way in all rows",
    )


def _chunks(file: DataFile) -> Iterator[list[_Row]]:
    with text_of(file) as text:
        rows = _rows(text)
        while chunk := list(_some(rows)):
            yield chunk


def _some(rows: Iterator[_Row]) -> Iterator[_Row]:
    size = 0
    for row in islice(rows, ROWS_AT_ONCE):
        yield row
        size += row.size
        if size > CHARACTERS_AT_ONCE:
            return


def _rows(text: Text) -> Iterator[_Row]:
    file = text.file
    # All rows may be in one line, as json.dump and pandas write them.
    number, first = next(text.filled(most=MOST_OF_A_LIST), (0, ""))
    lines = text.filled(number + 1)
    if first.lstrip().startswith("[") or _is_part(first):
        yield from _of_whole(file, number, first + text.rest(number, "a list of rows", MOST_OF_A_LIST))
    elif first:
        second = next(lines, None)
        if second is None and (rows := _of_pandas(_parsed(file, number, first))):
            yield from _entries(file, rows, len(first))
        else:
            yield from _of_lines(text, chain([(number, first)], [second] if second else [], lines))


def _is_part(line: str) -> bool:
    """Whether an object begins in this line and ends in another one."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return line.lstrip().startswith("{") and error.pos >= len(line.rstrip())
    return False


def _of_lines(text: Text, lines: Iterable[tuple[int, str]]) -> Iterator[_Row]:
    for number, line in lines:
        if len(line) > MOST_CHARACTERS:
            raise text.too_long(number)
        where = f"line {number}"
        yield _Row(where, _object(text.file, where, _parsed(text.file, number, line)), len(line))


def _of_whole(file: DataFile, line: int, text: str) -> Iterator[_Row]:
    value = _parsed(file, line, text)
    if isinstance(value, dict):
        lists = [held for held in value.values() if isinstance(held, list)]
        is_table = len(lists) == len(value) > 0 and len({len(held) for held in lists}) == 1
        if is_table and not any(held and isinstance(held[0], dict) for held in lists):
            value = [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
        else:
            value = _of_pandas(value) or [value]
    yield from _entries(file, value, len(text))


def _of_pandas(value: Any) -> list[dict[str, Any]] | None:
    """The rows of an object as `DataFrame.to_json` writes it by default, with an object by number of row for each column,
    or with orient="index", an object of columns for each row. None where it is anything else."""
    if not isinstance(value, dict) or not value or not all(isinstance(held, dict) and held for held in value.values()):
        return None
    if all(map(str.isdecimal, value)):
        return list(value.values())
    keys = list(next(iter(value.values())))
    if all(map(str.isdecimal, keys)) and all(list(held) == keys for held in value.values()):
        return [{column: held[key] for column, held in value.items()} for key in keys]
    return None


def _entries(file: DataFile, rows: list[Any], characters: int) -> Iterator[_Row]:
    size = characters // max(1, len(rows))
    for number, row in enumerate(rows, start=1):
        # As datasets does: a list of texts has the column text.
        values = {"text": row} if isinstance(row, str) else _object(file, f"entry {number}", row)
        yield _Row(f"entry {number}", values, size)


def _object(file: DataFile, where: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    kind = _KINDS.get(type(value), "nothing")
    raise data_error(
        Reason.DATASET_UNREADABLE,
        f"{file.name} cannot be read: {where} holds {kind} and not an object",
        "each row is an object",
    )


def _remedy(error: json.JSONDecodeError, text: str) -> str:
    if error.msg == "Extra data":
        return "write one object a line and nothing between the lines (jsonl), or all objects in one list"
    if re.match(r"\s*(\[\s*)?\{\s*'", text):
        return "write it by json.dumps: Python's own form, in which str and print write objects, is no JSON"
    return "correct or drop the line; is the file whole?"


def _parsed(file: DataFile, line: int, text: str) -> Any:
    try:
        return json.loads(text.rstrip(), object_pairs_hook=_once)
    except _Twice as error:
        raise data_error(
            Reason.DUPLICATE_COLUMN,
            f"{file.name} has the column '{error}' twice, in line {line}",
            "give each column a name of its own",
        ) from None
    except json.JSONDecodeError as error:
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{file.name} cannot be read: line {line + error.lineno - 1}, column {error.colno} is no JSON: {error.msg}",
            _remedy(error, text),
        ) from error
    except ValueError as error:  # of a number of thousands of digits
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{file.name} cannot be read: what line {line} holds: {str(error).partition(';')[0]}",
            "write numbers of so many digits as text",
        ) from error
    except RecursionError:
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{file.name} cannot be read: what line {line} holds is nested too deep",
            "drop the row",
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _Twice(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
    return values


def _table(file: DataFile, rows: list[_Row], shapes: dict[str, Shape]) -> pa.Table:
    made = {}
    for name, shape in shapes.items():
        values = [stored(row.values.get(name), shape) for row in rows]
        try:
            made[name] = pa.array(values, storage_type(shape))
        except UnicodeEncodeError as error:
            index = next(i for i, value in enumerate(values) if not _is_text(value))
            raise _half_of_a_character(
                f"column '{name}' in {file.name}, {rows[index].where}", error.object[error.start]
            ) from error
    return pa.table(made)


def _half_of_a_character(what: str, half: str = "") -> TrainerError:
    return data_error(
        Reason.NOT_UTF8,
        f"{what} holds half of a character" + f" ({half!r:.20})" * bool(half),
        "write characters beyond \\uffff as a pair of two \\u, or as they are",
    )


def _is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
