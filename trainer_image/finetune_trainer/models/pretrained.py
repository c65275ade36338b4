"""Finds the pretrained model and its tokenizer, and loads them."""

import copy
import hashlib
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
)
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.sources import ModelSource
from finetune_trainer.checkpoints.store import sha256_of
from finetune_trainer.failures import TrainerError, model_error
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.hub_errors import explain_hub_error
from finetune_trainer.storage.output import Volumes
from finetune_trainer.storage.sources import find_source, hub_id, is_hub_id

logger = logging.getLogger(__name__)

_ABILITIES = {
    "SequenceClassification": "classify text",
    "TokenClassification": "classify tokens",
    "CausalLM": "continue a text",
    "Seq2SeqLM": "write one text from another",
}
"""What an AutoModelFor… class is for."""
_INDEX = ".index.json"
_WEIGHTS = tuple(f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", _INDEX))
"""Files that `from_pretrained` looks for; it takes the first that is there."""
_FILES = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")
"""Weights, configurations, vocabularies and chat templates: a revision of a local model is of these."""


@dataclass(frozen=True)
class Pretrained:
    """A model that is there, at one fixed revision."""

    source: str
    place: str
    """What `from_pretrained` takes: a folder or an id on the Hub."""
    revision: str
    """Commit on the Hub; `sha256:…` of a local model's files."""
    config: Any
    """Its transformers configuration."""
    dtype: torch.dtype = torch.float32
    """Of the weights that are loaded, whatever those on disk are: mixed precision is an argument of the training."""
    quantization: Any = None
    """transformers' settings to hold the weights in fewer bits, if so wanted."""
    empty: bool = False
    """Whether weights have shapes only: enough to count them, and no file is read."""

    @property
    def classes(self) -> list[str]:
        """Names of what its head tells apart, in the order of their ids; `LABEL_0` and so on where it has none."""
        return [name for _, name in sorted((self.config.id2label or {}).items())]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for each `from_pretrained`. Code of the model's author is never run."""
        local = self.revision.startswith("sha256:")
        hub = {} if local else {"revision": self.revision, "token": hub_token("model")}
        return {"trust_remote_code": False, **hub}


def find_pretrained(settings: ModelSource, volumes: Volumes) -> Pretrained:
    """The model, with its revision resolved.

    Raises:
        TrainerError: MODEL when it is not there, gated, or not a model; INTERNAL when the Hub cannot be reached.
    """
    if not is_hub_id(settings.source):
        folder = find_source(settings.source, "model", volumes)
        if not (folder / "config.json").is_file():
            raise model_error(
                "ModelNotFound",
                f"{settings.source}: there is no config.json in {folder}",
                "model.source must be a folder as save_pretrained writes it",
            )
        with _model_failures(settings):
            config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
            revision = _digest(folder)
        return Pretrained(settings.source, str(folder), revision, config)
    with _model_failures(settings):
        commit, repository = _commit(settings), hub_id(settings.source)
        config = AutoConfig.from_pretrained(
            repository, revision=commit, trust_remote_code=False, token=hub_token("model")
        )
    return Pretrained(settings.source, repository, commit, config)


def _commit(settings: ModelSource) -> str:
    """The commit that the revision stands for now, so that all files are of the same one. Works from the cache too."""
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
            "ModelNotFound",
            f"{settings.source} has no config.json: it is no model that transformers can load",
            "use one with the tag Transformers on the Hub",
        ) from error
    return config.parent.name  # the cache has a folder for each commit


def check_weights(pretrained: Pretrained, settings: ModelSource) -> None:
    """Whether files with weights are there; what they hold is only seen when they are loaded.

    Raises:
        TrainerError: MODEL when none is, or a part of them is missing.
    """
    on_hub = is_hub_id(settings.source)
    with _model_failures(settings):
        # What was fetched from the Hub lies in one folder for each commit.
        config = hf_hub_download(pretrained.place, "config.json", revision=pretrained.revision) if on_hub else ""
        folder = Path(config).parent if on_hub else Path(pretrained.place)
        names = {path.name for path in folder.iterdir()}
        if on_hub and not names.intersection(_WEIGHTS):
            files = HfApi().model_info(pretrained.place, revision=pretrained.revision, token=hub_token("model"))
            names = {sibling.rfilename for sibling in files.siblings or ()}
        read = next((name for name in _WEIGHTS if name in names), None)
        if read is None:
            raise model_error(
                "WeightsMissing",
                f"{settings.source} has none of {', '.join(_WEIGHTS)}",
                "model.source must hold weights as save_pretrained writes them",
            )
        if on_hub or not read.endswith(_INDEX):
            return
        parts = set(json.loads((folder / read).read_text(encoding="utf-8"))["weight_map"].values())
        if absent := sorted(parts - names):
            raise model_error("WeightsMissing", f"{settings.source} lacks {absent[0]}, which its {read} names")


def load_tokenizer(pretrained: Pretrained, settings: ModelSource) -> Tokenizer:
    """The tokenizer, with a padding token: where there is none, the end of text pads, as is usual for language models."""
    with _model_failures(settings):
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(pretrained.place, **pretrained.arguments)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise model_error(
                "NoPaddingToken",
                f"the tokenizer of {settings.source} has neither a padding token nor an end-of-text token",
                "save it with one: tokenizer.add_special_tokens({'pad_token': '[PAD]'}), and resize the embeddings",
            )
        logger.info("%s has no padding token; its end-of-text token %r pads", settings.source, tokenizer.eos_token)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@dataclass(frozen=True)
class Loaded:
    """A model with its pretrained weights."""

    model: PreTrainedModel
    fresh: list[str]
    """Parameters that the pretrained model does not have, such as those of a new head: they start at random."""


def load_model(
    kind: Any, pretrained: Pretrained, settings: ModelSource, tokenizer: Tokenizer, **options: Any
) -> Loaded:
    """The model by `kind`, one of transformers' AutoModelFor… classes; weights of another shape are made anew.

    Args:
        options: Fields of its configuration, such as num_labels.

    Raises:
        TrainerError: MODEL when the weights are not there, or not those of such a model.
    """
    if pretrained.empty:
        return _load_empty(kind, pretrained, settings, options)
    with _model_failures(settings):
        model, info = kind.from_pretrained(
            pretrained.place,
            dtype=pretrained.dtype,
            quantization_config=pretrained.quantization,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
            **pretrained.arguments,
        )
    _check_body_was_loaded(model, info, settings.source)
    if model.config.get_text_config().pad_token_id is None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    _mend_generation(model)
    return Loaded(model, sorted({*info["missing_keys"], *(str(key[0]) for key in info["mismatched_keys"])}))


def _mend_generation(model: PreTrainedModel) -> None:
    """Leave out what has no effect, or transformers would refuse to save the model once it was changed otherwise.

    Some models on the Hub give a temperature and do not say whether they sample: they do.
    """
    settings = model.generation_config if model.can_generate() else None
    if settings is None:
        return
    without_effect = _without_effect(settings)
    if settings.do_sample is None:
        settings.do_sample = True
        if _without_effect(settings) == without_effect:
            settings.do_sample = None
    for name in _without_effect(settings):
        setattr(settings, name, None)


def _without_effect(settings: GenerationConfig) -> set[str]:
    """Settings that others make void, such as a length penalty without beams. transformers tells them in a text alone."""
    try:
        settings.validate(strict=True)
    except ValueError as error:
        return set(re.findall(r"^- `(\w+)`:", str(error), re.MULTILINE))
    return set()


def _load_empty(kind: Any, pretrained: Pretrained, settings: ModelSource, options: dict[str, Any]) -> Loaded:
    """As `load_model`, by the configuration alone. What is fresh is not known then: only the head counts as such."""
    config = copy.deepcopy(pretrained.config)
    config.update(options)
    with _model_failures(settings), torch.device("meta"):
        model = kind.from_config(config, dtype=pretrained.dtype, trust_remote_code=False)
    output = model.get_output_embeddings()
    return Loaded(model, [] if output else [name for name, _ in model.named_parameters() if not in_body(model, name)])


def in_body(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight is of the pretrained part, and not of a head on it. All are where the two are not parted, as in T5."""
    body = model.base_model_prefix
    return name.startswith(f"{body}.") or not hasattr(model, body)


def _check_body_was_loaded(model: PreTrainedModel, loaded: dict[str, Any], source: str) -> None:
    mismatched = [str(key[0]) for key in loaded["mismatched_keys"] if in_body(model, str(key[0]))]
    body = [name for name in model.state_dict() if in_body(model, name)]
    missing = set(loaded["missing_keys"]) & set(body)
    if mismatched or len(missing) > len(body) // 2:
        what = f"of another shape ({mismatched[0]})" if mismatched else f"missing ({len(missing)} of {len(body)})"
        raise model_error(
            "WeightsDoNotFit",
            f"{source}: weights are {what} for what its config.json describes",
            "config.json and the weights must be of the same model",
        )


@contextmanager
def _model_failures(settings: ModelSource) -> Iterator[None]:
    try:
        yield
    except (TrainerError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        on_hub = is_hub_id(settings.source)
        failure = explain_hub_error(error, "model", settings.source, settings.revision) if on_hub else None
        raise (failure or _explain(settings.source, error)) from error


def _explain(source: str, error: Exception) -> TrainerError:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "custom code" in text or "trust_remote_code" in text:
        return model_error(
            "ModelNeedsCode",
            f"{source} would have to run code of its own, which is never done",
            "use a model whose architecture transformers knows",
        )
    if unfit := re.search(r"AutoModelFor(\w+)", text):
        return model_error(
            "TaskNotSupported",
            f"{source}: its architecture cannot {_ABILITIES.get(unfit[1], 'do this task')}",
            "use a model of an architecture that can; its page on the Hub names the task",
        )
    return model_error(
        "ModelUnreadable",
        f"{source} cannot be loaded: {text:.400}",
        "check that its files are complete, and that the user that the trainer runs as may read them",
    )


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        digest.update(f"{sha256_of(path)}  {path.name}\n".encode())
    return f"sha256:{digest.hexdigest()}"
