"""Brings the files that say what a model is to this machine: from the Hub, from a bucket, or from where they lie."""

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import model_error
from finetune_trainer.models.weight_files import ADAPTER_WEIGHTS
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.errors import missing_path_hint
from finetune_trainer.storage.hub_files import check_shared_files
from finetune_trainer.storage.layout import BASE
from finetune_trainer.storage.shared_cache import use_hub
from finetune_trainer.storage.uris import Volumes, hub_id, is_hub_id

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
_OF_AN_ADAPTER = [
    ADAPTER_CONFIG,
    *ADAPTER_WEIGHTS,
    f"{BASE}/*.json",
    "tokenizer*",
    "*.jinja",
    "vocab*",
    "merges.txt",
    "*.model",
    "*_map.json",
]


def bring(settings: ModelSource, volumes: Volumes) -> tuple[Path, str | None]:
    """Return the folder of a model or an adapter, and its commit on the Hub.

    Of a model on the Hub the folder has the configuration at least: its weights come when they are loaded. Of an adapter
    there it has all.

    Raises:
        TrainerError: MODEL when there is no model; besides what the Hub's libraries raise.
    """
    if is_hub_id(settings.source):
        return _from_hub(settings)
    folder = find_source(settings.source, "model", volumes)
    if not any((folder / name).is_file() for name in (CONFIG, ADAPTER_CONFIG)):
        raise model_error(
            Reason.MODEL_NOT_FOUND,
            f"{settings.source}: there is no config.json in {folder}",
            "model.source must be a folder as save_pretrained writes it"
            if folder.exists()
            else missing_path_hint("model.source", settings.source),
        )
    return folder, None


def _from_hub(settings: ModelSource) -> tuple[Path, str]:
    repository, token = hub_id(settings.source), hub_token("model")
    use_hub("models", repository)
    # The commit of the revision now, so that all files are of the same one. Works from the cache too.
    commit, is_adapter = _commit(settings)
    check_shared_files("model", repository, commit, token)
    if is_adapter:
        folder = snapshot_download(repository, revision=commit, allow_patterns=_OF_AN_ADAPTER, token=token)
        return Path(folder), commit
    return Path(hf_hub_download(repository, CONFIG, revision=commit, token=token)).parent, commit


def _commit(settings: ModelSource) -> tuple[str, bool]:
    """Return the commit that a repository's revision is at, and whether it holds an adapter."""
    repository, token = hub_id(settings.source), hub_token("model")
    try:
        config = hf_hub_download(repository, ADAPTER_CONFIG, revision=settings.revision, token=token)
        return Path(config).parent.name, True  # the cache has a folder for each commit
    except (LocalEntryNotFoundError, EntryNotFoundError):
        pass  # if the Hub is out of reach, it is so for the model as well
    try:
        config = hf_hub_download(repository, CONFIG, revision=settings.revision, token=token)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError as error:
        raise model_error(
            Reason.MODEL_NOT_FOUND,
            f"{settings.source} has no config.json: it is no model that transformers can load",
            "use one with the tag Transformers on the Hub",
        ) from error
    return Path(config).parent.name, False
