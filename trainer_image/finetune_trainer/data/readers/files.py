"""Which files hold the rows of which split, as in `datasets` and on the Hub."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import datasets
from datasets.data_files import FILES_TO_IGNORE
from datasets.load import infer_module_for_data_files_list

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers import csv_rows, json_rows, parquet_rows
from finetune_trainer.data.readers.card import Configuration, unknown_name
from finetune_trainer.data.readers.decoding import FORMATS, DataFile, text_of
from finetune_trainer.data.readers.unread import warn_of_unread


@dataclass(frozen=True)
class Found:
    """The files of each split."""

    splits: dict[str, list[DataFile]]
    separator: str | None = None
    """Of csv files, where the folder's README has it."""
    is_ours: bool = True
    """Whether we can read them by what we know of them. If not, `datasets` has to: images, declared types, options of pandas."""


Splits: TypeAlias = datasets.Dataset | datasets.DatasetDict
"""What `datasets` reads: one split, or several by their names."""


def reader_of(files: Sequence[DataFile]) -> str | None:
    """`csv`, `json` or `parquet`, by the first file."""
    return FORMATS.get(files[0].suffix) if files else None


def one_file(source: str, path: Path, name: str | None) -> Found:
    """A file that is a data set by itself. Its split is `train`.

    Raises:
        TrainerError: DATA when it is of no type that is read, or a configuration is asked for.
    """
    if name not in (None, "default"):
        raise unknown_name(source, str(name))
    file = DataFile(path, path.name)
    if file.suffix not in FORMATS:
        raise data_error(
            Reason.UNKNOWN_FILE_TYPE,
            f"{path} is of no type that can be read",
            f"give a file that ends in {listed(FORMATS)} (or these packed, such as .jsonl.gz), a folder of them, or a "
            "folder written by save_to_disk",
        )
    return Found({"train": [file]})


def find_files(source: str, folder: Path, configuration: Configuration, used: frozenset[str]) -> Found:
    """The files of the folder's configuration, and how they are read.

    Args:
        configuration: Of the folder, from `read_configuration`.
        used: Columns that a task may read. A file that has them and is not read would be missed.

    Raises:
        TrainerError: DATA when a split has no file that can be read, or rows would be left out.
    """
    resolved = configuration.files
    for split, files in resolved.items():
        if not files:
            raise data_error(
                Reason.NO_ROWS, f"{source}: no file of split '{split}' is there", "check data_files in README.md"
            )
    _warn_of_shared_files(source, folder, resolved)
    separator, plain = configuration.separator, configuration.is_plain
    splits: dict[str, list[DataFile]] = {}
    for split, files in resolved.items():
        there = [_data_file(folder, path) for path in files]
        reader = _main_reader(infer_module_for_data_files_list(files)[0], there, used)
        if reader is None:
            raise _no_rows_in(source, split, there)
        splits[split] = [file for file in there if FORMATS.get(file.suffix) == reader]
        plain = plain and bool(splits[split])
    if not plain:
        return Found(
            {split: [_data_file(folder, path) for path in files] for split, files in resolved.items()}, separator, False
        )
    if not configuration.is_declared or any(len(splits[split]) < len(files) for split, files in resolved.items()):
        _check_other_files(source, folder, splits, used)
    return Found(splits, separator)


def _main_reader(usual: str | None, files: Sequence[DataFile], used: frozenset[str]) -> str | None:
    """Of files in several formats the one to read: `usual`, by what `datasets` goes, unless another has more columns of use."""
    firsts = {FORMATS[file.suffix]: file for file in reversed(files) if file.suffix in FORMATS}
    if usual not in firsts or len(firsts) == 1:
        return usual
    return max(firsts, key=lambda reader: (len(used & set(columns_of(firsts[reader]))), reader == usual))


def _no_rows_in(source: str, split: str, files: Sequence[DataFile]) -> TrainerError:
    return data_error(
        Reason.UNKNOWN_FILE_TYPE,
        f"split '{split}' of {source} has no file of a type that can be read, only {listed((file.name for file in files), 8)}",
        f"write the rows into a file that ends in {listed(FORMATS)} (or these packed, such as .jsonl.gz)",
    )


def check_saved_name(source: str, name: str | None, saved: set[str | None]) -> None:
    """Check the name of a configuration against what `save_to_disk` wrote, which may know of which one it was.

    Raises:
        TrainerError: DATA when it was another one.
    """
    known = {each for each in saved if each is not None} - {"default"}
    if name is None or name in known:
        return
    if known:
        raise unknown_name(source, name, sorted(known))
    warn(Reason.NAME_IGNORED, f"dataset.name '{name}': {source} was saved without the name of a configuration")


def _data_file(folder: Path, path: str) -> DataFile:
    at = Path(path)
    return DataFile(at, str(at.relative_to(folder)) if at.is_relative_to(folder) else path)


def _warn_of_shared_files(source: str, folder: Path, splits: dict[str, list[str]]) -> None:
    of: dict[str, str] = {}
    for split, files in splits.items():
        for file in files:
            if of.setdefault(file, split) != split:
                warn(
                    Reason.FILE_IN_TWO_SPLITS,
                    f"{source}: {_data_file(folder, file).name} is in the splits '{of[file]}' and '{split}', by its name "
                    "or by the README: what is evaluated may have been learnt",
                )


def _check_other_files(source: str, folder: Path, splits: dict[str, list[DataFile]], used: frozenset[str]) -> None:
    """Warn of files of rows that are in no split; raise where one would be missed."""
    read = {file.path for files in splits.values() for file in files}
    others = [file for file in _every(folder) if file.path not in read]
    first = next(iter(splits.values()))[0]
    needed = used & set(columns_of(first))
    missed = [
        file for file in others if _is_of_another_kind(file, splits) and needed and needed <= set(columns_of(file))
    ]
    if missed:
        raise data_error(
            Reason.TWO_FORMATS,
            f"{source} has rows in files of two formats: {first.name} would be read, and "
            f"{listed(file.name for file in missed)} would be left out",
            "write all of them in one format, keep the others in another folder, or say in a README.md (`configs`) which to read",
        )
    warn_of_unread(source, [file.name for file in others])


def _is_of_another_kind(file: DataFile, splits: dict[str, list[DataFile]]) -> bool:
    return FORMATS[file.suffix] not in {reader_of(files) for files in splits.values()}


def _every(folder: Path) -> list[DataFile]:
    """The files below the folder that may hold rows. Hidden ones, and folders such as __pycache__, are nobody's rows."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) or any(part.startswith("__") for part in parts[:-1])
        file = DataFile(path, str(path.relative_to(folder)))
        if not hidden and path.name not in FILES_TO_IGNORE and file.suffix in FORMATS and path.is_file():
            found.append(file)
    return found


def columns_of(file: DataFile) -> list[str]:
    """The columns of the first row of a file; none where it cannot be read as what its suffix says."""
    try:
        if FORMATS.get(file.suffix) == "parquet":
            return parquet_rows.columns_of(file)
        with text_of(file) as text:
            if FORMATS.get(file.suffix) == "csv":
                return csv_rows.header_of(file, text.lines())
            return json_rows.keys_of(text)
    except (TrainerError, csv.Error, json.JSONDecodeError):
        return []
