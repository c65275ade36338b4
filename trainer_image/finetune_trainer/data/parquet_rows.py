"""Rows of parquet files, which know the types of their columns: those of all files of a split must agree."""

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from finetune_trainer.data.decoding import DataFile
from finetune_trainer.data.tables import Doubt, SplitTables, columns_that_differ
from finetune_trainer.failures import data_error

_BATCH = 1000
_WIDER = {"float16": 1, "float32": 2, "float64": 3}


def read_parquet(files: Sequence[DataFile]) -> SplitTables:
    """The rows of the files.

    Raises:
        TrainerError: DATA, naming the file that is torn, or has a column twice.
    """
    schemas = {file.name: _features(file) for file in files}
    doubts = columns_that_differ({name: list(features) for name, features in schemas.items()})
    features: dict[str, Any] = {}
    first: dict[str, str] = {}
    for name, there in schemas.items():
        for column, feature in there.items():
            both = _both(features[column], feature) if column in features else feature
            if both is None:
                doubts[column] = Doubt(
                    "ColumnType",
                    f"column '{column}' is {_told(features[column])} in {first[column]} and {_told(feature)} in {name}",
                    "write it with the same type in all files",
                )
            else:
                features[column] = both
                first.setdefault(column, name)
    kept = datasets.Features({column: feature for column, feature in features.items() if not _disagree(doubts, column)})

    def tables() -> Iterator[pa.Table]:
        for file in files:
            with pq.ParquetFile(file.path) as opened:
                for batch in opened.iter_batches(_BATCH):
                    yield _table(pa.Table.from_batches([batch]), kept)

    return SplitTables(kept, tables, doubts)


def columns_of(file: DataFile) -> list[str]:
    """The names of the columns."""
    return list(_features(file))


def _features(file: DataFile) -> datasets.Features:
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowInvalid, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise data_error(
            "DatasetUnreadable", f"{file.name} cannot be read: {why}", "check that it is what its name says"
        ) from error
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise data_error(
            "DuplicateColumn", f"{file.name} has the column '{twice}' twice", "give each column a name of its own"
        )
    return datasets.Features.from_arrow_schema(schema)


def _both(one: Any, other: Any) -> Any:
    """The type that holds the values of both without loss; None where there is none."""
    if one == other or _is(other, "null"):
        return one
    if _is(one, "null"):
        return other
    if not (isinstance(one, datasets.Value) and isinstance(other, datasets.Value)):
        return None
    kinds = {one.dtype, other.dtype}
    if kinds <= {"string", "large_string"}:
        return datasets.Value("large_string")
    if all(kind.startswith(("int", "uint")) for kind in kinds):
        return datasets.Value("int64")
    if kinds <= _WIDER.keys():
        return datasets.Value(max(kinds, key=lambda kind: _WIDER[kind]))
    return None


def _is(feature: Any, kind: str) -> bool:
    return isinstance(feature, datasets.Value) and bool(feature.dtype == kind)


def _told(feature: Any) -> str:
    if isinstance(feature, datasets.ClassLabel):
        return f"one of the classes {', '.join(feature.names[:12])}"
    return "text" if _is(feature, "string") or _is(feature, "large_string") else str(getattr(feature, "dtype", feature))


def _disagree(doubts: dict[str, Doubt], column: str) -> bool:
    return column in doubts and doubts[column].reason == "ColumnType"


def _table(table: pa.Table, features: datasets.Features) -> pa.Table:
    schema = features.arrow_schema
    return pa.table(
        {
            name: table[name] if name in table.column_names else pa.nulls(len(table), schema.field(name).type)
            for name in features
        }
    )
