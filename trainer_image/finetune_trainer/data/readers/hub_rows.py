"""Data sets of the Hub: csv and json files are read as those of a folder are, all else by `datasets`."""

from dataclasses import dataclass
from pathlib import Path

import datasets
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from finetune_api.report import ExitCode
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.readers.bounds import memory_for
from finetune_trainer.data.readers.files import (
    FORMATS,
    Found,
    check_own_files,
    find_files,
    read_card,
    warn_of_unread_files,
)
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.hub_errors import explain_hub_error
from finetune_trainer.storage.hub_files import check_shared_files
from finetune_trainer.storage.shared_cache import use, use_hub
from finetune_trainer.storage.uris import hub_id

_TEXT_FORMATS = ("csv", "json")
_CARD = ["README.md", ".huggingface.yaml"]


@dataclass(frozen=True)
class HubFiles:
    """Files of a data set of the Hub that were brought here."""

    found: Found
    commit: str


def hub_files(settings: DatasetSettings, used: frozenset[str]) -> HubFiles | None:
    """The files that hold the rows, once they are here; None where `datasets` has to read them.

    Args:
        used: As for `find_files`.

    Raises:
        TrainerError: As `find_files`; besides what the Hub's libraries raise.
    """
    # The Hub's own viewer is a host of its own, which other endpoints have not.
    datasets.config.USE_PARQUET_EXPORT = constants.ENDPOINT == "https://huggingface.co"
    folder = _bring(settings)
    if folder is None:
        return None
    with memory_for(settings.source):
        found = find_files(settings.source, folder, settings.name, used)
    return HubFiles(found, folder.name) if found.is_ours else None


def _bring(settings: DatasetSettings) -> Path | None:
    """The folder with the files that hold the rows; None where `datasets` has to read them."""
    repository, token = hub_id(settings.source), hub_token("dataset")
    use_hub("datasets", repository)
    try:
        beside = snapshot_download(
            repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=_CARD
        )
        check_own_files(settings.source, read_card(settings.source, Path(beside)))
        builder = datasets.load_dataset_builder(repository, name=settings.name, revision=settings.revision, token=token)
    except TrainerError:
        raise
    except Exception as error:
        failure = explain_hub_error(error, "data set", settings.source, settings.revision)
        there = _at_hand(repository, settings.revision) if failure and failure.exit_code == ExitCode.INTERNAL else None
        if there is None:
            raise
        return there
    use(Path(builder.cache_dir))
    if builder.hash is not None:
        check_shared_files("dataset", repository, builder.hash, token)
    if builder.hash is None or not builder.config.data_files:
        return None
    files = [url.partition(f"@{builder.hash}/")[2] for urls in builder.config.data_files.values() for url in urls]
    if builder.config.name == "default":
        warn_of_unread_files(settings.source, files, HfApi().list_repo_files(
            repository, repo_type="dataset", revision=settings.revision, token=token
        ))  # fmt: skip
    if builder.name not in _TEXT_FORMATS or not all(files):
        return None
    return Path(
        snapshot_download(
            repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=[*files, *_CARD]
        )
    )


def _at_hand(repository: str, revision: str) -> Path | None:
    """The files that were downloaded before; None where there are none."""
    try:
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        return None
    return folder if any(path.suffix in FORMATS for path in folder.rglob("*")) else None
