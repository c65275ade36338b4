"""Rows of files, read once and kept by what the files hold: where they lie and how old they are does not count."""

import errno
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
from datasets.arrow_writer import ArrowWriter
from filelock import FileLock

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected, warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers.bounds import bomb, most_bytes
from finetune_trainer.data.readers.csv_rows import read_csv
from finetune_trainer.data.readers.decoding import DataFile
from finetune_trainer.data.readers.files import Found, reader_of
from finetune_trainer.data.readers.json_rows import read_json
from finetune_trainer.data.readers.memory import memory_for
from finetune_trainer.data.readers.parquet_rows import read_parquet
from finetune_trainer.data.readers.tables import Doubt, SplitTables
from finetune_trainer.storage.shared_cache import use

logger = logging.getLogger(__name__)

_READERS = 4
"""Counts up when a file is read in another way than before."""
_BYTES_OF_A_ROW = 8
"""Of memory, for its place, also where it holds next to nothing."""
_NOTES = "notes.json"

Doubts = dict[str, dict[str, Doubt]]
"""By split and column."""


def kept_rows(found: Found, texts: frozenset[str]) -> tuple[datasets.DatasetDict, Doubts]:
    """The rows of each split, and what is wrong with columns of it.

    Args:
        texts: Columns that are text, also where a csv file holds nothing but numbers there.

    Raises:
        TrainerError: DATA, naming the file, and the line where there is one.
    """
    folder = cache_folder("files", found.splits, _READERS, found.separator, sorted(texts))
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            for warning in _notes(folder)["warnings"]:
                warn(warning["reason"], warning["message"])
        else:
            for leftover in folder.parent.glob(f"{folder.name}.*"):
                if leftover.is_dir():  # of a process that was killed
                    shutil.rmtree(leftover, ignore_errors=True)
            with _cache_failures(folder):
                _read(found, texts, folder)
    doubts = {
        split: {column: Doubt(**doubt) for column, doubt in columns.items()}
        for split, columns in _notes(folder)["doubts"].items()
    }
    return datasets.DatasetDict({split: _open(folder, split) for split in found.splits}), doubts


@contextmanager
def _cache_failures(folder: Path) -> Iterator[None]:
    """A disk that is full is no failure of the data."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainerError(
            ExitCode.INTERNAL,
            Reason.CACHE_FULL,
            f"no space is left in {folder.parent}, where rows are kept once they are read",
            "give the disk, or HF_HOME, more room, or delete what is kept there of other data",
        ) from error


def cache_folder(kind: str, files: Mapping[str, list[DataFile]], *settings: object) -> Path:
    """Where what is read of the files is kept: another folder for other contents. Its parent is there."""
    made_of = {split: [(file.name, _digest(file.path)) for file in there] for split, there in files.items()}
    versions = [version("datasets"), version("pyarrow")]
    key = hashlib.sha256(json.dumps([made_of, versions, *settings], sort_keys=True).encode()).hexdigest()[:32]
    folder = Path(datasets.config.HF_DATASETS_CACHE) / kind / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    use(folder)
    return folder


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _notes(folder: Path) -> Any:
    return json.loads((folder / _NOTES).read_text())


def _read(found: Found, texts: frozenset[str], folder: Path) -> None:
    warnings: list[dict[str, str]] = []
    doubts: dict[str, dict[str, dict[str, str]]] = {}
    with ExitStack() as stack:
        stack.enter_context(collected(lambda reason, message: warnings.append({"reason": reason, "message": message})))
        partial = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.", ignore_cleanup_errors=True)
            )
        )
        for split, files in found.splits.items():
            with memory_for(listed(file.name for file in files)):
                tables = _tables(files, texts, found.separator)
                count = _write(tables, partial / f"{split}.arrow", files)
            logger.info("split '%s': %d rows of %d files", split, count, len(files))
            doubts[split] = {column: asdict(doubt) for column, doubt in tables.doubts.items()}
        (partial / _NOTES).write_text(json.dumps({"warnings": warnings, "doubts": doubts}))
        partial.chmod(0o755)
        partial.rename(folder)


def _tables(files: list[DataFile], texts: frozenset[str], separator: str | None) -> SplitTables:
    match reader_of(files):
        case "csv":
            return read_csv(files, texts, separator)
        case "json":
            return read_json(files)
        case _:
            return read_parquet(files)


def _write(tables: SplitTables, path: Path, files: list[DataFile]) -> int:
    """Write the rows, and return how many there are. No rows make no file."""
    count = written = 0
    most = most_bytes(file.path for file in files)
    if tables.features:
        writer = ArrowWriter(features=tables.features, path=str(path))
        for table in tables.tables():
            count += len(table)
            written += table.nbytes + len(table) * _BYTES_OF_A_ROW
            if written > most:
                raise bomb(listed(file.name for file in files), f"its first {count} rows take", most)
            writer.write_table(table)
        writer.finalize()
    return count


def _open(folder: Path, split: str) -> datasets.Dataset:
    path = folder / f"{split}.arrow"
    return datasets.Dataset.from_file(str(path)) if path.exists() else datasets.Dataset.from_dict({})
