"""Reads the rows to train and evaluate on: from the Hub, from files, or from what `save_to_disk` wrote."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_api.sources import Columns, Split
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import bad_configuration, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import did_you_mean, listed
from finetune_trainer.data.readers.errors import data_failures
from finetune_trainer.data.readers.files import Found, find_files, one_file, unknown_name, used_columns
from finetune_trainer.data.readers.hub_rows import hub_files
from finetune_trainer.data.readers.row_cache import Doubts, cache_folder, kept_rows
from finetune_trainer.data.readers.tables import Doubt
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.uris import Volumes, hub_id, is_hub_id

logger = logging.getLogger(__name__)


_TEXTS = frozenset({"prompt", "completion", "instruction", "input", "output", "system", "system_prompt"})
"""Columns that hold text where they are read without being named."""


@dataclass(frozen=True)
class Rows:
    """Rows of a split, and the place of each in it, so that a message can name the row that people see."""

    dataset: datasets.Dataset
    positions: npt.NDArray[np.int64]
    """Of each row in its split; the first is 1."""
    splits: npt.NDArray[np.object_]
    """Of each row: the name of that split, without a slice."""
    split: str
    """As it is asked for: `train[:80%]`, `train+validation`."""
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    """What is wrong with columns; it counts where one is read."""
    commit: str | None = None
    """On the Hub, where it is known."""
    _fingerprints: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False)

    def name_row(self, index: int) -> str:
        """How to call the row at `index` of `dataset`."""
        return f"row {self.positions[index]} of split '{self.splits[index]}' (the first is row 1)"

    def select(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """The rows at these indices of `dataset`."""
        return Rows(
            self.dataset.select(indices), self.positions[indices], self.splits[indices], self.split, self.doubts
        )

    @property
    def revision(self) -> str | None:
        """Commit on the Hub that the rows are of: `datasets` keeps each in a folder of that name."""
        if self.commit:
            return self.commit
        folders = [Path(file["filename"]).parent.name for file in self.dataset.cache_files]
        return next((name for name in folders if re.fullmatch("[0-9a-f]{40}", name)), None)

    def fingerprint(self, columns: Sequence[str]) -> str:
        """`sha256:…` of what the columns hold, row by row: the same wherever and in whatever format the data lies."""
        key = tuple(sorted(columns))
        if key not in self._fingerprints:
            names = {column: names for column in key if (names := _class_names(self.dataset.features[column]))}
            digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode() if names else b"")
            for batch in self.dataset.select_columns(list(key)).iter(batch_size=1000):
                digest.update(json.dumps(batch, sort_keys=True, default=str).encode())
            self._fingerprints[key] = f"sha256:{digest.hexdigest()}"
        return self._fingerprints[key]


def load_rows(settings: DatasetSettings, volumes: Volumes) -> tuple[Rows, Rows | None]:
    """The training rows, and the evaluation rows where asked for.

    Raises:
        TrainerError: DATA when the source, the split or rows are not there or cannot be read.
    """
    with data_failures(settings):
        loaded = _load(settings, volumes)
        loaded = replace(loaded, splits=_with_fields(loaded.splits, settings.columns))
    train = _take(settings.source, loaded, settings.train)
    return train, _take(settings.source, loaded, settings.evaluation) if settings.evaluation else None


def _with_fields(splits: datasets.DatasetDict, columns: Columns) -> datasets.DatasetDict:
    """With the fields of a column as columns of their own, such as translation.en, where one is asked for."""
    dotted = {name for name in columns.model_dump().values() if name and "." in name}
    return datasets.DatasetDict(
        {name: split if dotted <= set(split.column_names) else split.flatten() for name, split in splits.items()}
    )


def _class_names(feature: Any) -> list[str] | None:
    """The names of the classes, where the column declares them."""
    inner = getattr(feature, "feature", feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None


@dataclass(frozen=True)
class _Loaded:
    """The rows of all splits."""

    splits: datasets.DatasetDict
    doubts: Doubts = field(default_factory=dict)
    commit: str | None = None


def _load(settings: DatasetSettings, volumes: Volumes) -> _Loaded:
    found, commit = _on_hub(settings) if is_hub_id(settings.source) else (_in_files(settings, volumes), None)
    if isinstance(found, Found):
        return _Loaded(*kept_rows(found, _texts(settings.columns)), commit)
    return _Loaded(found)


def _on_hub(settings: DatasetSettings) -> tuple[Found | datasets.DatasetDict, str | None]:
    """Files that we read, and their commit; or the splits, where `datasets` reads them."""
    if files := hub_files(settings):
        return files.found, files.commit
    repository, token = hub_id(settings.source), hub_token("dataset")
    loaded = datasets.load_dataset(repository, name=settings.name, revision=settings.revision, token=token)
    return _as_splits(loaded), None


def _in_files(settings: DatasetSettings, volumes: Volumes) -> Found | datasets.DatasetDict:
    """Files that we read; or the splits, where `datasets` reads them."""
    if settings.revision != "main":
        warn(
            Reason.REVISION_IGNORED,
            f"dataset.revision: {settings.source} has no revisions as a data set of the Hub has",
        )
    path = find_source(settings.source, "dataset", volumes)
    if not path.exists():
        raise data_error(
            Reason.DATASET_NOT_FOUND, f"{settings.source}: there is nothing at {path}", "check dataset.source"
        )
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        saved = _as_splits(datasets.load_from_disk(str(path)))
        _check_name(settings, saved)
        return saved
    if path.is_file():
        return one_file(settings.source, path, settings.name)
    found = find_files(settings.source, path, settings.name, used_columns(settings.columns))
    if found.is_ours:
        return found
    folder = cache_folder(
        "folders", found.splits, settings.name, (path / "README.md").exists() and (path / "README.md").read_text()
    )
    return _as_splits(datasets.load_dataset(str(path), name=settings.name, cache_dir=str(folder)))


def _check_name(settings: DatasetSettings, saved: datasets.DatasetDict) -> None:
    """What was saved may know of which configuration it was."""
    known = {split.info.config_name for split in saved.values()} - {None, "default"}
    if settings.name is None or settings.name in known:
        return
    if known:
        raise unknown_name(settings.source, settings.name, sorted(known))
    warn(
        Reason.NAME_IGNORED,
        f"dataset.name '{settings.name}': {settings.source} was saved without the name of a configuration",
    )


def _texts(columns: Columns) -> frozenset[str]:
    """Columns that hold text, also where all of it looks like numbers."""
    texts = {columns.text, columns.text_pair, columns.target, columns.messages, columns.prompt, columns.completion}
    return (frozenset(name for name in texts if name) | _TEXTS) - {columns.label, columns.tags}


def _as_splits(loaded: datasets.Dataset | datasets.DatasetDict) -> datasets.DatasetDict:
    return datasets.DatasetDict({"train": loaded}) if isinstance(loaded, datasets.Dataset) else loaded


def _take(source: str, loaded: _Loaded, wanted: Split) -> Rows:
    splits = loaded.splits
    lengths = {name: len(split) for name, split in splits.items()}
    try:
        slices = datasets.ReadInstruction.from_spec(wanted.split).to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        if wanted.split.split("[")[0] not in lengths:
            raise data_error(
                Reason.SPLIT_NOT_FOUND,
                f"there is no split '{wanted.split}', only {listed(lengths)}"
                f"{did_you_mean(wanted.split.split('[')[0], lengths)}",
                "set split of dataset.train or dataset.evaluation to one that is there; a single file has the split train",
            ) from error
        raise bad_configuration(
            f"split '{wanted.split}': {str(error).splitlines()[0]}", "slices look like train[:80%] or test[100:200]"
        ) from error
    if empty := next((part.splitname for part in slices if not lengths[part.splitname]), None):
        where = f" in split '{empty}'" if len(lengths) > 1 else ""
        raise data_error(Reason.NO_ROWS, f"{source} has no rows{where}")
    slices = [part for part in slices if part.to > part.from_]
    parts = [splits[part.splitname].select(range(part.from_, part.to)) for part in slices]
    if not parts:
        raise data_error(Reason.NO_ROWS, f"split '{wanted.split}' has no rows")
    dataset = parts[0] if len(parts) == 1 else _joined(parts, slices)
    positions = np.concatenate([np.arange(part.from_ + 1, part.to + 1) for part in slices])
    names = np.repeat(np.array([part.splitname for part in slices], object), [part.to - part.from_ for part in slices])
    odd = {column: doubt for part in slices for column, doubt in loaded.doubts.get(part.splitname, {}).items()}
    rows = Rows(dataset, positions, names, wanted.split, odd, loaded.commit)
    if wanted.samples is None:
        return rows
    if wanted.samples > len(dataset):
        logger.info("split '%s' has only %d rows, all are taken", wanted.split, len(dataset))
    # The same rows as dataset.shuffle(seed).select(range(samples)), with their positions known.
    return rows.select(np.random.default_rng(wanted.seed).permutation(len(dataset))[: wanted.samples])


def _joined(parts: list[datasets.Dataset], slices: list[Any]) -> datasets.Dataset:
    try:
        return datasets.concatenate_datasets(parts)
    except (ValueError, TypeError, pa.ArrowInvalid) as error:
        one, other = next((a, b) for a, b in pairwise(range(len(parts))) if parts[a].features != parts[b].features)
        raise data_error(
            Reason.COLUMNS_DIFFER,
            f"splits '{slices[one].splitname}' and '{slices[other].splitname}' cannot be joined: one has "
            f"{_described(parts[one])}, the other {_described(parts[other])}",
            "write them with the same columns and types",
        ) from error


def _described(rows: datasets.Dataset) -> str:
    return listed(f"{name} ({getattr(kind, 'dtype', type(kind).__name__)})" for name, kind in rows.features.items())
