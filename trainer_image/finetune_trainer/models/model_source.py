"""Brings the files that say what a model is to this machine: from the Hub, from a bucket, or from where they lie."""

import re
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.weight_files import ADAPTER_WEIGHTS
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.errors import missing_path_hint
from finetune_trainer.storage.hub_files import check_shared_files
from finetune_trainer.storage.layout import BASE, MODEL
from finetune_trainer.storage.neighbours import beside, names_in, nothing_at
from finetune_trainer.storage.shared_cache import use_hub
from finetune_trainer.storage.uris import Volumes, hub_id, is_hub_id

CONFIG, ADAPTER_CONFIG, GENERATION = "config.json", "adapter_config.json", "generation_config.json"
_SETTINGS = (CONFIG, ADAPTER_CONFIG)
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
    if not any((folder / name).is_file() for name in _SETTINGS):
        raise _no_model(folder, settings.source)
    return folder, None


def _no_model(folder: Path, source: str) -> TrainerError:
    """The failure of a folder that is none of a model, with the models that are within it, as in an output of our own."""
    what, hint = f"{source}: there is no {CONFIG} in {folder}", missing_path_hint("model.source", source)
    if within := _models_within(folder):
        told, last = _told(within)
        what, hint = (
            f"{what}, but {told}",
            f"set model.source to the folder itself, such as {source.rstrip('/')}/{last}",
        )
    elif not folder.exists():
        what = f"{source}: {nothing_at(folder)}"
    else:
        what += beside(CONFIG, "the folder", names_in(folder))
        hint = "model.source must be a folder as save_pretrained writes it"
    return model_error(Reason.MODEL_NOT_FOUND, what, hint)


def _models_within(folder: Path) -> list[str]:
    """Paths of folders that hold a model or an adapter, at most two below this one."""
    found = {path.parent for name in _SETTINGS for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{name}")}
    return sorted(path.relative_to(folder).as_posix() for path in found if path.parent not in found)


def _told(models: list[str]) -> tuple[str, str]:
    """Which of several models is meant most likely, in words, and its path."""
    if len(models) == 1 or MODEL in models:
        chosen = MODEL if MODEL in models else models[0]
        return f"the model is in {chosen}", chosen
    steps = [step for name in models if (step := re.fullmatch(r"(.*\D)(\d+)", name))]
    if len(steps) == len(models) and len({step[1] for step in steps}) == 1:
        newest = max(steps, key=lambda step: int(step[2]))[0]
        return f"the newest model is in {newest}", newest
    return f"there are models in {listed(models)}", models[-1]


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
