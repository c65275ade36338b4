"""The rows that a proposal is made from, read with the standard library; parquet by pyarrow where it is installed."""

import bz2
import csv
import gzip
import importlib
import io
import json
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

from finetune.errors import NotFound, Refused
from finetune_api.encodings import HEAD, encoding_of
from finetune_api.separators import is_for_excel, separator_of

_MOST_ROWS: Final = 100_000
_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_OPENERS: Final[dict[str, Callable[..., IO[Any]]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_EVALUATION: Final = ("validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation")
"""Words in a file's name that put it into a split to evaluate on, as on the Hub."""
_SPLITS: Final = {
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Sample:
    """The first rows of the training split."""

    columns: dict[str, list[Any]]
    """The values of each column, row by row; None where a row has none."""
    rows: int
    """How many rows were read."""
    whole: bool
    """Whether these are all rows of the split."""
    evaluation: str | None = None
    """Name of a split to evaluate on, where the data has one."""
    train: str = "train"
    """Name of the training split."""
    config: str | None = None
    """Configuration of a data set on the Hub."""


def read_sample(path: Path) -> Sample:
    """Read up to 100,000 rows of a file, or of the training files of a folder.

    Raises:
        NotFound: There is no such file.
        Refused: Its format is not known, or it cannot be read.
    """
    if not path.exists():
        raise NotFound(f"there is no {path}")
    if path.is_dir():
        return _of_folder(path)
    return _sample(_rows(path))


def is_table(path: Path) -> bool:
    """Return whether a file of this name is one that can be read."""
    return _format(path) is not None


def is_headed(path: Path) -> bool:
    """Return whether names of columns are the first line of a file, which somebody may have left out."""
    files = path.rglob("*") if path.is_dir() else [path]
    return any(_format(each) in ("csv", "tsv") for each in files)


def _of_folder(folder: Path) -> Sample:
    files = sorted(each for each in folder.rglob("*") if each.is_file() and _format(each))
    if not files:
        raise Refused(f"{folder} holds no csv, tsv, json, jsonl or parquet file")
    by_split = {each: _split_of(each.relative_to(folder)) for each in files}
    train = [each for each, split in by_split.items() if split is None]
    if not train:
        raise Refused(
            f"{folder} has files to evaluate on ({files[0].name}, …) and none to train on: call one train{files[0].suffix}"
        )
    found = _sample(row for each in train for row in _rows(each))
    splits = sorted({split for split in by_split.values() if split}, reverse=True)
    return Sample(found.columns, found.rows, found.whole, splits[0] if splits else None)


def _split_of(path: Path) -> str | None:
    words = [word for part in path.parts for word in re.split(r"[^a-z]+", part.lower())]
    word = next((word for word in words if word in _EVALUATION), None)
    return None if word is None or "train" in words else _SPLITS.get(word, word)


def _format(path: Path) -> str | None:
    name = path.with_suffix("") if path.suffix in _OPENERS else path
    return _FORMATS.get(name.suffix.lower())


def _sample(rows: Iterable[dict[str, Any]]) -> Sample:
    read = list(islice(iter(rows), _MOST_ROWS + 1))
    kept = read[:_MOST_ROWS]
    names = dict.fromkeys(name for row in kept for name in row)
    return Sample({name: [row.get(name) for row in kept] for name in names}, len(kept), len(read) == len(kept))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    kind = _format(path)
    if kind is None:
        raise Refused(f"{path}: csv, tsv, json, jsonl and parquet files are read, also as .gz, .bz2 or .xz")
    try:
        if kind == "parquet":
            yield from _parquet(path)
        else:
            with _OPENERS.get(path.suffix, io.open)(path, "rt", encoding=_encoding(path), newline="") as text:
                yield from _TEXT[kind](text, path)
    except UnicodeDecodeError as error:
        raise Refused(
            f"{path} is not UTF-8: convert it from what it was saved as, such as by iconv -f cp1252 -t utf-8 (Windows of western languages)"
        ) from error
    except (OSError, EOFError, lzma.LZMAError, csv.Error, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def _encoding(path: Path) -> str:
    with _OPENERS.get(path.suffix, io.open)(path, "rb") as file:
        return encoding_of(file.read(HEAD))


def _csv(text: IO[str], path: Path, usual: str = ",") -> Iterator[dict[str, Any]]:
    first = next((line for line in text if line.strip() and not is_for_excel(line)), "")
    reader = csv.reader(chain([first], text), delimiter=separator_of(first, usual))
    header = next((fields for fields in reader if any(map(str.strip, fields))), [])
    for fields in reader:
        if fields:
            yield {name: _value(field) for name, field in zip(header, fields, strict=False)}


def _tsv(text: IO[str], path: Path) -> Iterator[dict[str, Any]]:
    return _csv(text, path, "\t")


def _value(field: str) -> Any:
    """A field of a csv file: a number where it is written as one, and nothing lost by it."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", field):
        return int(field)
    if re.fullmatch(r"-?\d+\.\d+([eE][-+]?\d+)?", field):
        return float(field)
    return field or None


def _jsonl(text: IO[str], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text, 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise Refused(f"{path} line {number} is not an object")
            yield row


def _json(text: IO[str], path: Path) -> Iterator[dict[str, Any]]:
    content = text.read()
    try:
        found = json.loads(content)
    except json.JSONDecodeError:
        yield from _jsonl(io.StringIO(content), path)
        return
    if isinstance(found, dict) and found and all(isinstance(each, list) for each in found.values()):
        found = [dict(zip(found, values, strict=False)) for values in zip(*found.values(), strict=False)]
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Refused(f"{path} must hold a list of objects, or one object a line")
    yield from found


_TEXT: Final[dict[str, Callable[[IO[str], Path], Iterator[dict[str, Any]]]]] = {
    "csv": _csv,
    "tsv": _tsv,
    "jsonl": _jsonl,
    "json": _json,
}


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise Refused(f"{path}: parquet is read by pyarrow, which is not installed: pip install pyarrow") from error
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1000):
            yield from batch.to_pylist()
