"""Finds the pretrained model: where it is, at which revision, what its files hold."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.files import digest_of
from finetune_trainer.models.adapter_source import Adapter, check_is_model, find_adapter
from finetune_trainer.models.config_bounds import check_bounds
from finetune_trainer.models.failures import model_failures
from finetune_trainer.models.model_files import read_config, read_settings
from finetune_trainer.models.model_source import CONFIG, GENERATION, bring
from finetune_trainer.models.special_tokens import count_embeddings
from finetune_trainer.models.two_formats import warn_of_others
from finetune_trainer.models.weight_files import Tensors, hub_tensors, local_tensors
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.uris import Volumes, hub_id

logger = logging.getLogger(__name__)

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
    folder: Path
    """Where its files are; of a model on the Hub those that are here."""
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
        """Arguments for each `from_pretrained`."""
        return _arguments(self.commit)

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
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RuntimeError,
            ImportError,
            AssertionError,
            ArithmeticError,
        ):
            # An architecture without a body of its own, or one that needs more than shapes.
            return None


def find_pretrained(settings: ModelSource, volumes: Volumes) -> Pretrained:
    """Find the model, with its revision resolved; of an adapter the base, with it.

    Raises:
        TrainerError: MODEL when it is not there, gated, not a model, or its files are torn or other than they should
            be; INTERNAL when the Hub cannot be reached.
    """
    with model_failures(settings):
        folder, commit = bring(settings, volumes)
        adapter = find_adapter(folder, settings.source)
        return _of_base(adapter, volumes) if adapter else _of_files(folder, commit, settings)


def _of_base(adapter: Adapter, volumes: Volumes) -> Pretrained:
    """The model that an adapter belongs to, with it."""
    try:
        with model_failures(adapter.base):
            folder, commit = bring(adapter.base, volumes)
            check_is_model(folder, adapter.base.source)
            base = _of_files(folder, commit, adapter.base)
    except TrainerError as error:
        not_there = (
            f"bring the base {adapter.base.source} to where its adapter_config.json says, or write there where it is "
            "(base_model_name_or_path)"
        )
        raise TrainerError(
            error.exit_code,
            error.reason,
            f"{adapter.source} is an adapter, and its base cannot be used: {error.message}",
            not_there if error.reason == Reason.MODEL_NOT_FOUND else error.hint or not_there,
        ) from error
    base.config.update(adapter.head)
    logger.info("%s is an adapter: its base is %s", adapter.source, adapter.base.source)
    return replace(base, adapter=adapter, revision=f"{_digest(adapter.folder)} on {base.revision}")


def _of_files(folder: Path, commit: str | None, settings: ModelSource) -> Pretrained:
    """The model whose files are in `folder`; with a `commit`, of the Hub."""
    source = settings.source
    config, place = folder / CONFIG, hub_id(source) if commit else str(folder)
    with model_failures(settings, config):
        written = read_settings(config, source)
        check_bounds(written, source)
        content = read_config(config, source, place, _arguments(commit))
    found = Pretrained(source, place, commit or _digest(folder), content, folder, commit)
    if commit:
        tensors = hub_tensors(folder, place, commit, source)
    else:
        if (folder / GENERATION).is_file():
            read_settings(folder / GENERATION, source)  # transformers would go on without one that is torn
        tensors = local_tensors(folder, source)
        warn_of_others(folder, source)
    check_bounds(written, source, tensors)
    return replace(found, tensors=tensors)


def _arguments(commit: str | None) -> dict[str, Any]:
    """Return arguments for each `from_pretrained`. Code of the model's author is never run."""
    hub = {"revision": commit, "token": hub_token("model")} if commit else {}
    return {"trust_remote_code": False, **hub}


def _digest(folder: Path) -> str:
    paths = {path for pattern in _FILES for path in folder.glob(pattern)}
    return digest_of(sorted(path for path in paths if path.is_file()), folder)
