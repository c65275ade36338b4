"""Explains why data could not be read, so that its owner can correct it."""

import re
from contextlib import AbstractContextManager
from functools import partial

import pyarrow as pa  # type: ignore[import-untyped]
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError, DatasetsError
from datasets.table import CastError

from finetune_api.reasons import Reason
from finetune_api.sources import Dataset
from finetune_trainer.base.errors import TrainerError, causes, data_error
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers.decoding import TO_UTF8
from finetune_trainer.storage.source_errors import source_failures

_LONGEST_REASON = 300
_EMPTY_SPLIT = re.compile(r'Instruction "(?P<split>.+)" corresponds to no data')
_TWICE = re.compile(
    r"Column\(/(?P<json>.+)\) was specified twice|Multiple matches for FieldRef\.Name\((?P<parquet>.+?)\)"
)


def data_failures(settings: Dataset) -> AbstractContextManager[None]:
    """Raise whatever a reader raises as a failure of the data."""
    return source_failures("data set", settings.source, settings.revision, partial(_explain, settings.source))


def _explain(source: str, error: Exception) -> TrainerError:
    """The failure of the data that an exception of a reader means."""
    text = str(error)
    chain = list(causes(error))
    if empty := _EMPTY_SPLIT.search(text):
        return data_error(Reason.NO_ROWS, f"{source} has no rows in split '{empty['split']}'")
    if isinstance(error, StopIteration):  # what the reader of jsonl raises for files without a line
        return data_error(Reason.NO_ROWS, f"{source} has no rows")
    if isinstance(error, EmptyDatasetError | DataFilesNotFoundError):
        return data_error(
            Reason.DATASET_UNREADABLE,
            f"{source} cannot be read: there is no csv, json, jsonl or parquet file in it",
            "check dataset.source",
        )
    if "Config name is missing" in text or "BuilderConfig" in text:
        return data_error(
            Reason.DATASET_NAME_NEEDED, f"{source}: {text.splitlines()[0]}", "set dataset.name to one of them"
        )
    if "Dataset scripts are no longer supported" in text or "trust_remote_code" in text:
        return data_error(
            Reason.DATASET_NEEDS_CODE,
            f"{source} would have to run code of its own, which is never done",
            "use a data set in plain files (parquet, csv, jsonl), such as the one on the Hub's refs/convert/parquet",
        )
    if cast := next((cause for cause in chain if isinstance(cause, CastError)), None):
        return _columns_differ(source, cast)
    if twice := next((found for cause in chain if (found := _TWICE.search(str(cause)))), None):
        return data_error(
            Reason.DUPLICATE_COLUMN,
            f"{source} has the column '{twice['json'] or twice['parquet']}' twice",
            "give each column a name of its own",
        )
    # pandas raises the last error of a chain about json, and only that of Arrow names what is wrong.
    readable = [cause for cause in chain if isinstance(cause, pa.ArrowInvalid)] or [
        cause for cause in reversed(chain) if not isinstance(cause, DatasetsError)
    ]
    innermost = readable[0] if readable else error
    why = " ".join(str(innermost).split())[:_LONGEST_REASON] or type(innermost).__name__
    if any("Invalid UTF8" in str(cause) or isinstance(cause, UnicodeDecodeError) for cause in chain):
        return data_error(Reason.NOT_UTF8, f"{source} is not UTF-8: {why}", TO_UTF8)
    return data_error(
        Reason.DATASET_UNREADABLE, f"{source} cannot be read: {why}", "check that it is what its name says"
    )


def _columns_differ(source: str, error: CastError) -> TrainerError:
    return data_error(
        Reason.COLUMNS_DIFFER,
        f"{source}: its files have different columns; one has {listed(error.requested_column_names)}, "
        f"another {listed(error.table_column_names)}",
        "give all files the same columns, and those that a README.md declares (dataset_info: features), or put those with "
        "others into a folder of their own",
    )
