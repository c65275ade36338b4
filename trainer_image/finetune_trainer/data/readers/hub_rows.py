"""Data sets of the Hub: csv and json files are read as those of a folder are, all else by `datasets`."""

from dataclasses import dataclass
from pathlib import Path

import datasets
from huggingface_hub import HfApi, constants, snapshot_download

from finetune_api.report import ExitCode
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.readers.card import read_card, read_configuration
from finetune_trainer.data.readers.files import Found, Splits, find_files
from finetune_trainer.data.readers.hub_cache import rows_at_hand
from finetune_trainer.data.readers.unread import warn_of_unread_files
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.hub_errors import explain_hub_error
from finetune_trainer.storage.hub_files import check_shared_files
from finetune_trainer.storage.shared_cache import use, use_hub
from finetune_trainer.storage.uris import hub_id

_TEXT_FORMATS = ("csv", "json")
_CARD = ["README.md", ".huggingface.yaml"]


@dataclass(frozen=True)
class HubRows:
    """A data set of the Hub."""

    settings: DatasetSettings
    here: Path | None
    """The folder with its files, once they are here; None where `datasets` has to bring them."""

    @property
    def commit(self) -> str | None:
        """Of the files that are here."""
        return self.here.name if self.here is not None else None

    def look(self, used: frozenset[str]) -> Found | Splits:
        """Return the files that we read; or the splits, where `datasets` reads them.

        Args:
            used: As for `find_files`.

        Raises:
            TrainerError: As `find_files`; besides what the Hub's libraries raise.
        """
        settings = self.settings
        if self.here is not None:
            configuration = read_configuration(settings.source, self.here, settings.name)
            found = find_files(settings.source, self.here, configuration, used)
            if found.is_ours:
                return found
        splits: Splits = datasets.load_dataset(
            hub_id(settings.source), name=settings.name, revision=settings.revision, token=hub_token("dataset")
        )
        return splits


def bring_hub_rows(settings: DatasetSettings) -> HubRows:
    """Bring the files that hold the rows here, where we may be able to read them. Raises what the Hub's libraries raise, and TrainerError."""
    # The Hub's own viewer is a host of its own, which other endpoints have not.
    datasets.config.USE_PARQUET_EXPORT = constants.ENDPOINT == "https://huggingface.co"
    return HubRows(settings, _bring(settings))


def _bring(settings: DatasetSettings) -> Path | None:
    """The folder with the files that hold the rows; None where `datasets` has to read them."""
    repository, token = hub_id(settings.source), hub_token("dataset")
    use_hub("datasets", repository)
    try:
        beside = snapshot_download(
            repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=_CARD
        )
        read_card(settings.source, Path(beside))  # before `datasets` does as it says
        builder = datasets.load_dataset_builder(repository, name=settings.name, revision=settings.revision, token=token)
    except TrainerError:
        raise
    except Exception as error:
        failure = explain_hub_error(error, "data set", settings.source, settings.revision)
        there = (
            rows_at_hand(repository, settings.revision) if failure and failure.exit_code == ExitCode.INTERNAL else None
        )
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
    folder = snapshot_download(
        repository, repo_type="dataset", revision=settings.revision, token=token, allow_patterns=[*files, *_CARD]
    )
    return Path(folder)
