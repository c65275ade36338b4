"""The README of a data set, whose metadata says which files hold its rows. Anybody may have written it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from yaml import YAMLError as PyYAMLError

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import data_error

_MOST_VALUES = 1_000_000
"""In the metadata of a data set: a large one lists some ten thousand files."""
_MISTAKES = (ValueError, TypeError, AttributeError, KeyError, RecursionError, FileNotFoundError, YAMLError, PyYAMLError)
"""What the libraries raise where the metadata is written in another way than they expect."""
_LONGEST_REASON = 300


@contextmanager
def card_failures(source: str, folder: Path) -> Iterator[None]:
    """Raise what is wrong with the metadata of a README as a failure of the data that names the README.

    Raises:
        TrainerError: DATA.
    """
    readme = datasets.config.REPOCARD_FILENAME
    try:
        yield
    except UnicodeDecodeError as error:
        raise data_error(
            Reason.NOT_UTF8,
            f"{source}: its {readme} is not UTF-8: {error}",
            "convert it, as by iconv -f latin1 -t utf-8",
        ) from error
    except _MISTAKES as error:
        why = " ".join(str(error).replace(f"{folder}/", "").split())[:_LONGEST_REASON]
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{source}: the metadata at the top of its {readme} cannot be used: {why}",
            f"correct what is between the two lines of --- in {readme}, or take {readme} away: then files belong to "
            "splits by their names",
        ) from error


def read_card(source: str, folder: Path) -> DatasetCardData:
    """The metadata in the folder's README.

    Raises:
        TrainerError: DATA when it cannot be understood, or aliases of YAML make more of it than can be read, or it
            names files of others.
    """
    with card_failures(source, folder):
        data = _read(folder)
        if _count(vars(data), {}) > _MOST_VALUES:
            raise data_error(
                Reason.DATASET_UNREADABLE,
                f"{source}: the metadata in its README.md holds more than {_MOST_VALUES} values, by aliases that repeat each other",
                "write the metadata without aliases",
            )
        _check_own_files(source, data)
    return data


def _read(folder: Path) -> DatasetCardData:
    readme, beside = folder / datasets.config.REPOCARD_FILENAME, folder / datasets.config.REPOYAML_FILENAME
    data = DatasetCard.load(readme).data if readme.is_file() else DatasetCardData()
    if beside.is_file():
        metadata = YAML(typ="safe").load(beside)
        data = DatasetCardData(**{**data.to_dict(), **metadata}) if metadata else data
    return data


def leads_elsewhere(path: str) -> bool:
    """Whether a path that a data set names may be none of its own files."""
    return "://" in path or path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts


def _check_own_files(source: str, card: DatasetCardData) -> None:
    """The README names files of the data set itself: `datasets` would read any file of this machine, and any address.

    Raises:
        TrainerError: DATA, naming what leads elsewhere.
    """
    for params in MetadataConfigs.from_dataset_card_data(card).values():
        for path in _texts([params.get("data_files"), params.get("data_dir")]):
            if leads_elsewhere(path):
                raise data_error(
                    Reason.DATASET_UNREADABLE,
                    f"{source}: its README.md names a file that is not its own: {path:.100}",
                    "copy the file to where the data set is, and name it by its path there",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _count(value: Any, known: dict[int, int]) -> int:
    """How many values there are in it, each counted as often as it is referred to. `known` are those that were counted, by identity."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = _MOST_VALUES  # of what contains itself
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(each, known) for each in parts)
    return known[id(value)]
