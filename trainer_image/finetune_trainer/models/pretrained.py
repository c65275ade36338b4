"""Finds the pretrained model: where it is, at which revision, what its files hold."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModel

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.files import sha256_of
from finetune_trainer.models.adapter_source import Adapter, hub_adapter, local_adapter
from finetune_trainer.models.hub_code import check_file_runs_no_code, check_runs_no_code
from finetune_trainer.models.special_tokens import count_embeddings
from finetune_trainer.models.weight_files import Tensors, check_no_pointers, hub_tensors, local_tensors
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.disk_errors import cache_full
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.hub_errors import explain_hub_error
from finetune_trainer.storage.hub_files import check_shared_files
from finetune_trainer.storage.shared_cache import use_hub
from finetune_trainer.storage.uris import Volumes, hub_id, is_hub_id

logger = logging.getLogger(__name__)

_ABILITIES = {
    "SequenceClassification": "classify text",
    "TokenClassification": "classify tokens",
    "CausalLM": "continue a text",
    "Seq2SeqLM": "write one text from another",
}
"""What an AutoModelFor… class is for."""
_FILES = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")
"""Weights, configurations, vocabularies and chat templates: a revision of a local model is of these."""


@dataclass(frozen=True)
class Pretrained:
    """A model that is there, at one fixed revision."""

    source: str
    place: str
    """What `from_pretrained` takes: a folder or an id on the Hub."""
    revision: str
    """Commit on the Hub; `sha256:…` of a local model's files. With an adapter, its own and that of the base."""
    config: Any
    """Its transformers configuration."""
    commit: str | None = None
    """On the Hub."""
    tensors: Tensors | None = None
    """What its weights are, without their values; None where only loading shows it."""
    adapter: Adapter | None = None
    """What is to be added to its weights. Source, place and commit are those of the base."""
    dtype: torch.dtype = torch.float32
    """Of the weights that are loaded, whatever those on disk are: mixed precision is an argument of the training."""
    quantization: Any = None
    """transformers' settings to hold the weights in fewer bits, if so wanted."""
    empty: bool = False
    """Whether weights have shapes only: enough to count them, and no number is read."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes of its head, in the order of their ids; `LABEL_0` and so on where it has none."""
        return [name for _, name in sorted((self.config.id2label or {}).items())]

    @property
    def use_cache(self) -> bool | None:
        """Whether it keeps what it computed of the tokens before, to write the next: switched off while it is trained."""
        use_cache: bool | None = getattr(self.config, "use_cache", None)
        return use_cache

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for each `from_pretrained`. Code of the model's author is never run."""
        hub = {"revision": self.commit, "token": hub_token("model")} if self.commit else {}
        return {"trust_remote_code": False, **hub}

    @property
    def tokenizer(self) -> tuple[str, dict[str, Any]]:
        """Where `from_pretrained` finds the tokenizer, and its arguments: an adapter may have one of its own."""
        if self.adapter and self.adapter.has_tokenizer:
            return str(self.adapter.folder), {"trust_remote_code": False}
        return self.place, self.arguments

    @cached_property
    def embeddings(self) -> int | None:
        """For how many tokens it has embeddings; None where it reads characters by other means."""
        try:
            with torch.device("meta"):
                model = AutoModel.from_config(self.config, trust_remote_code=False)  # type: ignore[no-untyped-call]
                return count_embeddings(model)
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError):
            # An architecture without a body of its own, or one that needs more than shapes.
            return None


def find_pretrained(settings: ModelSource, volumes: Volumes) -> Pretrained:
    """The model, with its revision resolved; of an adapter the base, with it.

    Raises:
        TrainerError: MODEL when it is not there, gated, not a model, or its files are torn or other than they should
            be; INTERNAL when the Hub cannot be reached.
    """
    on_hub = is_hub_id(settings.source)
    if on_hub:
        use_hub("models", hub_id(settings.source))
    folder = None if on_hub else find_source(settings.source, "model", volumes)
    with model_failures(settings):
        adapter = local_adapter(folder, settings.source) if folder else hub_adapter(settings)
    if adapter is None:
        return _find_local(folder, settings) if folder else _find_on_hub(settings)
    try:
        base = find_pretrained(adapter.base, volumes)
    except TrainerError as error:
        raise TrainerError(
            error.exit_code,
            error.reason,
            f"{settings.source} is an adapter, and its base cannot be used: {error.message}",
            f"bring the base {adapter.base.source} to where its adapter_config.json says, or write there where it is "
            "(base_model_name_or_path)",
        ) from error
    base.config.update(adapter.head)
    logger.info("%s is an adapter: its base is %s", settings.source, adapter.base.source)
    return replace(base, adapter=adapter, revision=f"{_digest(adapter.folder)} on {base.revision}")


def _find_local(folder: Path, settings: ModelSource) -> Pretrained:
    if not (folder / "config.json").is_file():
        raise model_error(
            Reason.MODEL_NOT_FOUND,
            f"{settings.source}: there is no config.json in {folder}",
            "model.source must be a folder as save_pretrained writes it",
        )
    with model_failures(settings):
        check_no_pointers(folder, settings.source)
        check_file_runs_no_code(folder / "config.json", settings.source)
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        check_runs_no_code(config, "config.json", settings.source)
        tensors = local_tensors(folder, settings.source)
        return Pretrained(settings.source, str(folder), _digest(folder), config, tensors=tensors)


def _find_on_hub(settings: ModelSource) -> Pretrained:
    with model_failures(settings):
        commit, repository = _commit(settings), hub_id(settings.source)
        check_shared_files("model", repository, commit, hub_token("model"))
        config = AutoConfig.from_pretrained(
            repository, revision=commit, trust_remote_code=False, token=hub_token("model")
        )
        check_runs_no_code(config, "config.json", settings.source)
        tensors = hub_tensors(repository, commit, settings.source)
    return Pretrained(settings.source, repository, commit, config, commit, tensors)


def _commit(settings: ModelSource) -> str:
    """The commit of the revision now, so that all files are of the same one. Works from the cache too."""
    try:
        config = Path(
            hf_hub_download(
                hub_id(settings.source), "config.json", revision=settings.revision, token=hub_token("model")
            )
        )
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError as error:
        raise model_error(
            Reason.MODEL_NOT_FOUND,
            f"{settings.source} has no config.json: it is no model that transformers can load",
            "use one with the tag Transformers on the Hub",
        ) from error
    check_file_runs_no_code(config, settings.source)
    return config.parent.name  # the cache has a folder for each commit


@contextmanager
def model_failures(settings: ModelSource) -> Iterator[None]:
    """Whatever goes wrong while the model is found or loaded is a failure of the model."""
    try:
        yield
    except (TrainerError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        on_hub = is_hub_id(settings.source)
        failure = cache_full(error, "model.source", settings.source)
        if failure is None and on_hub:
            failure = explain_hub_error(error, "model", settings.source, settings.revision)
        raise (failure or _explain(settings.source, error)) from error


def _explain(source: str, error: Exception) -> TrainerError:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "custom code" in text or "trust_remote_code" in text:
        return model_error(
            Reason.MODEL_NEEDS_CODE,
            f"{source} would have to run code of its own, which is never done",
            "use a model whose architecture transformers knows",
        )
    if unfit := re.search(r"AutoModelFor(\w+)", text):
        return model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{source}: its architecture cannot {_ABILITIES.get(unfit[1], 'do this task')}",
            "use a model of an architecture that can; its page on the Hub names the task",
        )
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source} cannot be loaded: {text:.400}",
        "check that its files are complete, and that the user that the trainer runs as may read them",
    )


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        digest.update(f"{sha256_of(path)}  {path.name}\n".encode())
    return f"sha256:{digest.hexdigest()}"
