"""Loads the pretrained weights into the model that a task trains, and trusts no number that the files do not hold.

`from_pretrained` fills what it does not find with random numbers, and drops what it does not know, with a line in a log.
"""

import copy
import logging
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import model_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.models.adapted import check_shapes, merged
from finetune_trainer.models.failures import model_failures
from finetune_trainer.models.finite import check_finite
from finetune_trainer.models.generating import repair_generation
from finetune_trainer.models.model_files import check_generates_by_itself
from finetune_trainer.models.model_source import CONFIG
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.quantized import restored
from finetune_trainer.models.special_tokens import align_special_tokens, check_special_tokens
from finetune_trainer.models.tied import say_untied
from finetune_trainer.models.weight_files import COMPUTED

logger = logging.getLogger(__name__)

_NEW_PARTS = re.compile(r"(^|\.)pooler\.|^perceiver\.decoder\.")
"""What a head needs within the body: pretraining by masked words has no pooler, and a Perceiver a decoder of its own."""


@dataclass(frozen=True)
class Loaded:
    """A model with its pretrained weights."""

    model: PreTrainedModel
    fresh: list[str]
    """Parameters that the pretrained model does not have, such as those of a new head: they start at random."""

    @property
    def fresh_modules(self) -> list[str]:
        """The modules that hold what starts at random: whole heads, and within the pretrained part as little as possible."""
        return sorted(
            {name.rpartition(".")[0] if in_body(self.model, name) else name.partition(".")[0] for name in self.fresh}
        )


def load_model(
    kind: Any, pretrained: Pretrained, settings: ModelSource, tokenizer: Tokenizer, **options: Any
) -> Loaded:
    """The model by `kind`, one of transformers' AutoModelFor… classes, with special tokens as the tokenizer has them.
    A head for other classes than those that it was trained for is initialized at random.

    Args:
        options: Fields of its configuration, such as num_labels.

    Raises:
        TrainerError: MODEL when the weights are not there, not those of such a model, not all of them, or no numbers.
    """
    if pretrained.empty:
        model, info = _load_shapes(kind, pretrained, settings, options)
    else:
        with model_failures(settings):
            model, info = kind.from_pretrained(
                pretrained.place,
                dtype=pretrained.dtype,
                quantization_config=pretrained.quantization or restored(pretrained.config),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
                **pretrained.arguments,
            )
    new_head = "num_labels" in options  # the others need all that was pretrained, the output layer too
    check_types(model, pretrained)
    check_all_was_read(model, info, settings.source, new_head)
    if not pretrained.empty:
        check_finite(model, pretrained.source, pretrained.folder)
        if say_untied(model, bool(getattr(pretrained.config, "tie_word_embeddings", False))):
            warn(
                Reason.EMBEDDINGS_DIFFER,
                f"{pretrained.source}: its config.json says that the output layer is the embeddings (tie_word_embeddings), and "
                "its files hold two that differ: both are trained, and exported as two",
            )
    align_special_tokens(model, tokenizer)
    check_special_tokens(model, tokenizer, settings.source)
    repair_generation(model)
    check_generates_by_itself(model, settings.source)
    fresh = sorted({*info["missing_keys"], *_mismatched(info)} - _computed(model))
    if pretrained.adapter:
        check_shapes(model, pretrained.adapter)
        fresh = [name for name in fresh if name not in (pretrained.adapter.tensors or ())]
        model = merged(model, pretrained.adapter.folder, pretrained.adapter.source, pretrained.empty)
    for name in _computed(model):
        model.get_parameter(name).requires_grad_(False)  # else they would be learnt, and exported by few
    if fresh and not pretrained.empty:
        logger.info("%s has no weights for %s: they start at random, and are learnt", settings.source, listed(fresh))
    return Loaded(model, fresh)


def _load_shapes(
    kind: Any, pretrained: Pretrained, settings: ModelSource, options: dict[str, Any]
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model without numbers, and what `from_pretrained` would report of its weights, as far as their heads are known."""
    config = copy.deepcopy(pretrained.config)
    config.update(options)
    named = settings.model_copy(update={"source": pretrained.source})  # of an adapter the base
    with model_failures(named, pretrained.folder / CONFIG), torch.device("meta"):
        model = kind.from_config(config, dtype=pretrained.dtype, trust_remote_code=False)
    if pretrained.tensors is not None:
        try:
            loaded: tuple[PreTrainedModel, dict[str, Any]] = type(model).from_pretrained(
                None,
                config=config,
                state_dict=dict(pretrained.tensors),
                device_map="meta",
                dtype=pretrained.dtype,
                quantization_config=restored(pretrained.config),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            # It is a look ahead: what cannot be done without numbers may still be done with them.
            logger.debug("%s cannot be loaded without its numbers: %s", settings.source, error)
        else:
            return loaded
    # Then only the head counts as fresh.
    output = model.get_output_embeddings()
    heads = [] if output else [name for name, _ in model.named_parameters() if not in_body(model, name)]
    return model, {"missing_keys": heads, "mismatched_keys": [], "unexpected_keys": []}


def in_body(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight is of the pretrained part, and not of a head on it. All are where the two are not parted, as in T5."""
    body = model.base_model_prefix
    return name.startswith(f"{body}.") or not hasattr(model, body)


def check_all_was_read(model: PreTrainedModel, info: Mapping[str, Any], source: str, new_head: bool) -> None:
    """What was pretrained is there, and nothing of it was left in the file.

    Args:
        info: As `from_pretrained` gives it with `output_loading_info`.
        new_head: Whether what is not of the body may start at random.

    Raises:
        TrainerError: MODEL, naming the weights.
    """

    def pretrained(name: str) -> bool:
        return not new_head or (in_body(model, name) and not _NEW_PARTS.search(name))

    wrong = {
        "of another shape": [name for name in _mismatched(info) if pretrained(name)],
        "missing": [name for name in _parameters(model, info["missing_keys"]) if pretrained(name)],
        "left over": [name for name in info["unexpected_keys"] if is_half_read(model, name, new_head)],
    }
    for what, names in wrong.items():
        if names:
            count = f"{len(names)} of {len(model.state_dict())}: " if what == "missing" else ""
            raise model_error(
                Reason.WEIGHTS_DO_NOT_FIT,
                f"{source}: weights are {what} ({count}{listed(sorted(names), 4)}) for what its config.json describes",
                _remedy(model, what, names, info["unexpected_keys"]),
            )


_AROUND = {"module.": "DistributedDataParallel", "_orig_mod.": "torch.compile", "base_model.model.": "peft"}
"""What leaves its name at the beginning of those of all weights of a model that was saved within it."""


def _remedy(model: PreTrainedModel, what: str, names: Iterable[str], left: Iterable[str]) -> str:
    """What to do about weights that are wrong, by those that were left over."""
    left = set(left)
    if what == "left over":
        return (
            "config.json and the weights must be of the same model; scales and the like are those of quantized weights"
        )
    if any(".lora_A." in name for name in left):
        return "an adapter is among the weights: merge it into them by merge_and_unload, and save the result"
    prefix = _prefix(model, sorted(names), left) if what == "missing" else None
    if not prefix:
        return "config.json and the weights must be of the same model"
    who = " and ".join(f"{name} ({mark})" for mark, name in _AROUND.items() if mark in prefix)
    return (
        f"in the files the names of weights begin with {prefix}, as {who or 'another module around the model'} leaves them: "
        "take that away, or save the model that is within by save_pretrained"
    )


def _prefix(model: PreTrainedModel, missing: list[str], left: Set[str]) -> str | None:
    """What the weights that are missing have before their names in the file; None where most of them are not there at all."""
    body = f"{model.base_model_prefix}."
    for names in (missing, [name.removeprefix(body) for name in missing]):
        for prefix in {key.removesuffix(names[0]) for key in left if key.endswith(f".{names[0]}")}:
            if sum(prefix + name in left for name in names) * 2 >= len(names):
                return prefix
    return None


def check_types(model: PreTrainedModel, pretrained: Pretrained) -> None:
    """What the files hold for weights are fractions: whole numbers are halves of quantized weights, whose scale is elsewhere.

    Raises:
        TrainerError: MODEL, naming the weights.
    """
    body = f"{model.base_model_prefix}."
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    whole = {
        name: str(tensor.dtype).removeprefix("torch.")
        for name, tensor in (pretrained.tensors or {}).items()
        if not tensor.is_floating_point() and names.intersection((name, body + name, name.removeprefix(body)))
    }
    if whole and pretrained.quantization is None and restored(pretrained.config) is None:
        shown = listed([f"{name} ({kind})" for name, kind in sorted(whole.items())], 4)
        raise model_error(
            Reason.WEIGHTS_DO_NOT_FIT,
            f"{pretrained.source}: {len(whole)} of its weights are no fractions in the files, but {shown}",
            "such are those of quantized models, of which config.json says nothing here: use the model that it was made from",
        )


def _mismatched(info: Mapping[str, Any]) -> list[str]:
    return [str(key[0]) for key in info["mismatched_keys"]]


def _parameters(model: PreTrainedModel, names: Iterable[str]) -> set[str]:
    """Those that are learnt: a buffer is computed again, and so are positions by sines."""
    return set(names) & {name for name, _ in model.named_parameters(remove_duplicate=False)} - _computed(model)


def _computed(model: PreTrainedModel) -> set[str]:
    """Parameters that hold sines of positions. Models such as Marian and Pegasus make them when they are made, and their
    files seldom have them; once loaded, transformers takes them for weights."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if "Sinusoidal" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }


def is_half_read(model: PreTrainedModel, name: str, new_head: bool) -> bool:
    """Whether a weight in the file that the model has no place for shows that it is another model than it should be.

    It does within a layer, as the scale of a quantized weight does, and as one more layer. What is beside the layers
    was a head, or another part that the task does not use.
    """
    path, module = _where(model, name)
    if COMPUTED.search(name) or _NEW_PARTS.search(name) or (new_head and module is model):
        return False
    in_layer = False
    for part in path[:-1]:
        in_layer = in_layer or isinstance(module, nn.ModuleList)
        child = module._modules.get(part)
        if child is None:
            return in_layer and not _predicts_tokens(model, module)
        module = child
    return in_layer or any(True for _ in module.parameters(recurse=False))


def _where(model: PreTrainedModel, name: str) -> tuple[list[str], nn.Module]:
    """A weight's path, and the module that it begins at: in files of the body alone, names lack the body's prefix."""
    first, *rest = name.split(".")
    body: nn.Module = model.base_model
    if first == model.base_model_prefix:
        return rest, body
    return [first, *rest], body if first in body._modules and first not in model._modules else model


def _predicts_tokens(model: PreTrainedModel, module: nn.Module) -> bool:
    """Whether `module` are layers after which some models have more in their files, to predict several tokens at once."""
    count = getattr(model.config.get_text_config(), "num_nextn_predict_layers", None)
    return bool(count) and isinstance(module, nn.ModuleList)
