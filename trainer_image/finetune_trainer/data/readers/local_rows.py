"""Data sets in files of one's own: a file, a folder of them, or what `save_to_disk` wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from finetune_api.reasons import Reason
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.readers.card import leads_elsewhere, read_configuration
from finetune_trainer.data.readers.files import Found, Splits, check_saved_name, find_files, one_file
from finetune_trainer.data.readers.row_cache import cache_folder
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.errors import missing_path_hint
from finetune_trainer.storage.neighbours import nothing_at
from finetune_trainer.storage.uris import Volumes


@dataclass(frozen=True)
class LocalRows:
    """A data set in files that this machine has."""

    settings: DatasetSettings
    path: Path
    commit: None = None

    def look(self, used: frozenset[str]) -> Found | Splits:
        """Return the files that we read; or the splits, where `datasets` reads them.

        Args:
            used: As for `find_files`.

        Raises:
            TrainerError: As `find_files`; DATA where what `save_to_disk` wrote names files of others.
        """
        source, name, path = self.settings.source, self.settings.name, self.path
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            return _saved(source, name, path)
        if path.is_file():
            return one_file(source, path, name)
        configuration = read_configuration(source, path, name)
        found = find_files(source, path, configuration, used)
        if found.is_ours:
            return found
        folder = cache_folder(
            "folders", found.splits, name, (path / "README.md").exists() and (path / "README.md").read_text()
        )
        splits: Splits = datasets.load_dataset(str(path), name=name, cache_dir=str(folder))
        return splits


def find_local_rows(settings: DatasetSettings, volumes: Volumes) -> LocalRows:
    """Find a data set in files, which are brought here where they are elsewhere.

    Raises:
        TrainerError: As `find_source`; DATA where there is nothing.
    """
    if settings.revision != "main":
        warn(
            Reason.REVISION_IGNORED,
            f"dataset.revision: {settings.source} has no revisions as a data set of the Hub has",
        )
    path = find_source(settings.source, "dataset", volumes)
    if not path.exists():
        hint = missing_path_hint("dataset.source", settings.source)
        raise data_error(Reason.DATASET_NOT_FOUND, f"{settings.source}: {nothing_at(path)}", hint)
    return LocalRows(settings, path)


def _saved(source: str, name: str | None, folder: Path) -> Splits:
    """What `save_to_disk` wrote into a folder."""
    _check_saved_paths(source, folder)
    saved: Splits = datasets.load_from_disk(str(folder))
    each = saved.values() if isinstance(saved, datasets.DatasetDict) else [saved]
    for split in each:
        # Arrow's files are mapped as they are: lengths that lead out of them would end the process, or show its memory.
        split.data.table.validate(full=True)
    check_saved_name(source, name, {split.info.config_name for split in each})
    return saved


def _check_saved_paths(source: str, folder: Path) -> None:
    """What `save_to_disk` wrote names its own files: `datasets` would map any that this machine has.

    Raises:
        TrainerError: DATA, naming what leads elsewhere.
    """
    splits = _strings(_read_json(folder / "dataset_dict.json").get("splits"))
    paths = [(folder / "dataset_dict.json", split) for split in splits]
    for state in (folder / "state.json", *(folder / split / "state.json" for split in splits)):
        files = _read_json(state).get("_data_files")
        paths += [
            (state, name) for name in _strings(file.get("filename") for file in files or () if isinstance(file, dict))
        ]
    for named_in, path in paths:
        if leads_elsewhere(path):
            raise data_error(
                Reason.DATASET_UNREADABLE,
                f"{source}: its {named_in.name} names a file that is not its own: {path:.100}",
                "write the data set by save_to_disk, and leave its files as they are",
            )


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty where there is none, which `datasets` says better."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _strings(values: Any) -> list[str]:
    return [value for value in values or () if isinstance(value, str)]
