"""Data sets of the Hub: csv and json files are read as those of a folder are, all else by `datasets`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import datasets
from datasets.data_files import FILES_TO_IGNORE
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers.files import FORMATS, Found, check_own_files, find_files, read_card, used_columns
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


def hub_files(settings: DatasetSettings) -> HubFiles | None:
    """The files that hold the rows, once they are here; None where `datasets` has to read them.

    Raises:
        TrainerError: As `find_files`; besides what the Hub's libraries raise.
    """
    repository, token = hub_id(settings.source), hub_token("dataset")
    # The Hub's own viewer is a host of its own, which other endpoints have not.
    datasets.config.USE_PARQUET_EXPORT = constants.ENDPOINT == "https://huggingface.co"
    use_hub("datasets", repository)
    try:
        beside = snapshot_download(
            repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=_CARD
        )
        check_own_files(settings.source, read_card(Path(beside)))
        builder = datasets.load_dataset_builder(repository, name=settings.name, revision=settings.revision, token=token)
    except TrainerError:
        raise
    except Exception as error:
        failure = explain_hub_error(error, "data set", settings.source, settings.revision)
        there = _at_hand(repository, settings.revision) if failure and failure.exit_code == ExitCode.INTERNAL else None
        if there is None:
            raise
        return _found(settings, there)
    use(Path(builder.cache_dir))
    if builder.hash is not None:
        check_shared_files("dataset", repository, builder.hash, token)
    if builder.hash is None or not builder.config.data_files:
        return None
    files = [url.partition(f"@{builder.hash}/")[2] for urls in builder.config.data_files.values() for url in urls]
    if builder.config.name == "default":
        _warn_of_unread_files(settings.source, files, HfApi().list_repo_files(
            repository, repo_type="dataset", revision=settings.revision, token=token
        ))  # fmt: skip
    if builder.name not in _TEXT_FORMATS or not all(files):
        return None
    folder = snapshot_download(
        repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=[*files, *_CARD]
    )
    return _found(settings, Path(folder))


def _at_hand(repository: str, revision: str) -> Path | None:
    """The files that were downloaded before; None where there are none."""
    try:
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        return None
    return folder if any(path.suffix in FORMATS for path in folder.rglob("*")) else None


def _found(settings: DatasetSettings, folder: Path) -> HubFiles | None:
    found = find_files(settings.source, folder, settings.name, used_columns(settings.columns))
    return HubFiles(found, folder.name) if found.is_ours else None


def _warn_of_unread_files(source: str, read: Sequence[str], every: Sequence[str]) -> None:
    """Warn of files of rows that are in no split. A data set with configurations lists those that are."""
    others = [
        name
        for name in map(PurePosixPath, every)
        if str(name) not in read
        and name.suffix.lower() in FORMATS
        and name.name not in FILES_TO_IGNORE
        and not any(part.startswith((".", "__")) for part in name.parts)
    ]
    if others:
        warn(
            Reason.FILES_NOT_READ,
            f"{source}: by their names or format these belong to no split, and are not read: {listed(map(str, others), 8)}",
        )
