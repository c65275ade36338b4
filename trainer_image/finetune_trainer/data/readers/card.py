"""The README of a data set, whose metadata says which files hold its rows. Anybody may have written it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
from datasets.data_files import DataFilesDict, get_data_patterns, sanitize_patterns
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from yaml import YAMLError as PyYAMLError

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.text import did_you_mean, listed
from finetune_trainer.data.readers.decoding import TO_UTF8

_MOST_VALUES = 1_000_000
"""In the metadata of a data set: a large one lists some ten thousand files."""
_MISTAKES = (ValueError, TypeError, AttributeError, KeyError, RecursionError, FileNotFoundError, YAMLError, PyYAMLError)
"""What the libraries raise where the metadata is written in another way than they expect."""
_LONGEST_REASON = 300
_OPTIONS = {"sep", "delimiter"}
"""Of a configuration in a README, those that are ours to read by."""
_NO_OPTIONS = {"data_files", "data_dir", "default", "version", "description"}


@dataclass(frozen=True)
class Configuration:
    """The configuration of a data set that is read, by its README; where that says nothing, by the names of the files."""

    files: dict[str, list[str]]
    """By split."""
    separator: str | None
    """Of csv files, where the README has it."""
    is_plain: bool
    """Whether there is nothing in it that `datasets` has to read by."""
    is_declared: bool
    """Whether the README has configurations."""


def read_card(source: str, folder: Path) -> DatasetCardData:
    """The metadata in the folder's README.

    Raises:
        TrainerError: DATA when it cannot be understood, or aliases of YAML make more of it than can be read, or it
            names files of others.
    """
    with _card_failures(source, folder):
        data = _read(folder)
        if _count(vars(data), {}) > _MOST_VALUES:
            raise data_error(
                Reason.DATASET_UNREADABLE,
                f"{source}: the metadata in its README.md holds more than {_MOST_VALUES} values, by aliases that repeat each other",
                "write the metadata without aliases",
            )
        _check_own_files(source, data)
    return data


def read_configuration(source: str, folder: Path, name: str | None) -> Configuration:
    """The configuration `name` of the data set in a folder, or its only or default one.

    Raises:
        TrainerError: DATA as `read_card`, and when there is no such configuration, or none is chosen.
    """
    card = read_card(source, folder)
    with _card_failures(source, folder):
        configs = MetadataConfigs.from_dataset_card_data(card)
        chosen = _chosen(source, configs, name)
        params = configs[chosen] if chosen else {}
        declares = _declares_features(card, chosen)
        if declares:
            DatasetInfosDict.from_dataset_card_data(card)
        named = params.get("data_files") or params.get("data_dir")
        files = _resolved(folder / (params.get("data_dir") or ""), params.get("data_files")) if named else None
        is_plain = not declares and not (params.keys() - _OPTIONS - _NO_OPTIONS)
        separator = _sign(params) if is_plain else None
    return Configuration(_resolved(folder, None) if files is None else files, separator, is_plain, bool(configs))


def unknown_name(source: str, name: str, known: Sequence[str] = ()) -> TrainerError:
    """dataset.name is none of the configurations."""
    if not known:
        return data_error(
            Reason.DATASET_NAME_UNKNOWN,
            f"dataset.name: {source} has no configurations, so there is none that is called '{name}'",
            "leave dataset.name out, or name configurations and their files in a README.md (`configs`)",
        )
    return data_error(
        Reason.DATASET_NAME_UNKNOWN,
        f"dataset.name: {source} has no configuration '{name}', only {listed(known)}{did_you_mean(name, known)}",
        "set dataset.name to one of them",
    )


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


@contextmanager
def _card_failures(source: str, folder: Path) -> Iterator[None]:
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
            TO_UTF8,
        ) from error
    except _MISTAKES as error:
        why = " ".join(str(error).replace(f"{folder}/", "").split())[:_LONGEST_REASON]
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{source}: the metadata at the top of its {readme} cannot be used: {why}",
            f"correct what is between the two lines of --- in {readme}, or take {readme} away: then files belong to "
            "splits by their names",
        ) from error


def _chosen(source: str, configs: Iterable[str], name: str | None) -> str | None:
    known = list(configs)
    if name is None:
        default = configs.get_default_config_name() if isinstance(configs, MetadataConfigs) else None
        if known and default is None:
            raise data_error(
                Reason.DATASET_NAME_NEEDED,
                f"{source} has the configurations {listed(known)}, and none is the default",
                "set dataset.name to one of them",
            )
        return default
    if name not in known and (known or name != "default"):
        raise unknown_name(source, name, known)
    return name if known else None


def _declares_features(card: DatasetCardData, config: str | None) -> bool:
    """Whether the README has the types of the columns."""
    infos = card.get("dataset_info") or []
    return any(
        info.get("features")
        for info in (infos if isinstance(infos, list) else [infos])
        if info.get("config_name", "default") in (config, "default")
    )


def _sign(params: dict[str, Any]) -> str | None:
    """What parts the fields of csv files, where we read them. Raises ValueError where it is more than a character, as `datasets` alone takes it."""
    sign = params.get("delimiter") or params.get("sep")
    if sign is None or (isinstance(sign, str) and len(sign) == 1):
        return sign
    raise ValueError(f"the separator (sep) {sign!r} is not a single character")


def _resolved(base: Path, data_files: Any) -> dict[str, list[str]]:
    """The files of each split, by patterns or else by their names."""
    patterns = sanitize_patterns(data_files) if data_files else get_data_patterns(str(base))
    return {
        str(split): list(dict.fromkeys(files))
        for split, files in DataFilesDict.from_patterns(patterns, str(base)).items()
    }
