"""Rows of parquet files, which know the types of their columns: those of all files of a split must agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import data_error
from finetune_trainer.data.readers.bounds import check_columns
from finetune_trainer.data.readers.contents import HEAD, unlike_its_name
from finetune_trainer.data.readers.decoding import DataFile
from finetune_trainer.data.readers.tables import Doubt, SplitTables, columns_that_differ

_BATCH = 1000
_DIGITS_OF_INT64 = 18
_WIDER = {"float16": 1, "float32": 2, "float64": 3}


def read_parquet(files: Sequence[DataFile]) -> SplitTables:
    """The rows of the files.

    Raises:
        TrainerError: DATA, naming the file that is torn, or has a column twice.
    """
    schemas, doubts = {}, columns_that_differ({file.name: columns_of(file) for file in files})
    for file in files:
        schemas[file.name], unusable = _features(file)
        doubts |= unusable
    features: dict[str, Any] = {}
    first: dict[str, str] = {}
    for name, there in schemas.items():
        for column, feature in there.items():
            both = _both(features[column], feature) if column in features else feature
            if both is None:
                doubts[column] = Doubt(
                    Reason.COLUMN_TYPE,
                    f"column '{column}' is {_described(features[column])} in {first[column]} and {_described(feature)} in {name}",
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
    return list(_schema(file).names)


def _features(file: DataFile) -> tuple[datasets.Features, dict[str, Doubt]]:
    """The types of the columns, and a doubt for each whose type (a map, a union) is none that `datasets` knows."""
    schema = _schema(file)
    doubts: dict[str, Doubt] = {}
    fields = []
    for field in schema:
        usual = field.with_type(_usual(field.type))
        try:
            datasets.Features.from_arrow_schema(pa.schema([usual]))
            fields.append(usual)
        except (ValueError, NotImplementedError, TypeError):
            doubts[field.name] = Doubt(
                Reason.COLUMN_TYPE,
                f"column '{field.name}' in {file.name} is a {field.type}, which cannot be read",
                "write it as text, numbers, or lists or structs of these",
            )
    return datasets.Features.from_arrow_schema(pa.schema(fields, schema.metadata)), doubts


def _usual(kind: Any) -> Any:
    """The type as which a column is read: views of text, as polars has them, are text, and decimals, as databases have
    them, are numbers."""
    if pa.types.is_decimal(kind):
        return pa.int64() if kind.scale <= 0 and kind.precision - kind.scale <= _DIGITS_OF_INT64 else pa.float64()
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_list(kind):
        return pa.list_(_usual(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_usual(kind.value_type))
    return kind


def _schema(file: DataFile) -> Any:
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowInvalid, OSError) as error:
        with file.path.open("rb") as opened:
            other = unlike_its_name(file.name, file.suffix, opened.read(HEAD))
        why = " ".join(str(error).split())[:300]
        raise other or data_error(
            Reason.DATASET_UNREADABLE,
            f"{file.name} cannot be read: {why}",
            "check that it is what its name says, and was copied to its end",
        ) from error
    check_columns(file.name, len(schema.names))
    twice = next((name for name, count in Counter(schema.names).items() if count > 1), None)
    if twice is not None:
        raise data_error(
            Reason.DUPLICATE_COLUMN, f"{file.name} has the column '{twice}' twice", "give each column a name of its own"
        )
    return schema


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


def _described(feature: Any) -> str:
    if isinstance(feature, datasets.ClassLabel):
        return f"one of the classes {', '.join(feature.names[:12])}"
    return "text" if _is(feature, "string") or _is(feature, "large_string") else str(getattr(feature, "dtype", feature))


def _disagree(doubts: dict[str, Doubt], column: str) -> bool:
    return column in doubts and doubts[column].reason == Reason.COLUMN_TYPE


def _table(table: pa.Table, features: datasets.Features) -> pa.Table:
    schema = features.arrow_schema
    return pa.table(
        {
            name: _as_usual(table[name])
            if name in table.column_names
            else pa.nulls(len(table), schema.field(name).type)
            for name in features
        }
    )


def _as_usual(values: Any) -> Any:
    kind = _usual(values.type)
    return values if kind == values.type else values.cast(kind)
