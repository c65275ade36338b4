"""A loaded model with an adapter that was trained before: to train it on, or added to the model's weights."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.adapter_source import Adapter
from finetune_trainer.models.finite import check_adapter_finite
from finetune_trainer.models.tied import part_adapted, say_untied
from finetune_trainer.models.weight_files import ADAPTER_WEIGHTS, COMPUTED, local_tensors

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)


def check_shapes(model: PreTrainedModel, adapter: Adapter) -> None:
    """What an adapter has in place of a part of its base, such as a classifier's head, is as large as that.

    Raises:
        TrainerError: MODEL, naming it.
    """
    own = model.state_dict()
    for name, tensor in (adapter.tensors or {}).items():
        if name in own and own[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)} there, and {tuple(own[name].shape)} is needed"
            raise _unfit(adapter.source, f"{name} has the shape {shapes}")


def go_on(model: PreTrainedModel, adapter: Adapter, fresh: list[str], commit: str | None, empty: bool) -> "PeftModel":
    """The model with an adapter that was trained before, to train it on.

    Args:
        fresh: Modules that hold what starts at random in the model.
        commit: Of the base, on the Hub.
        empty: As for `adapted`.

    Raises:
        TrainerError: MODEL when it is not one of this model, or lacks what starts at random here.
    """
    check_shapes(model, adapter)
    found = adapted(model, adapter.folder, adapter.source, empty)
    settings: Any = found.peft_config["default"]
    saved = settings.modules_to_save or ()
    if left := [name for name in fresh if not any(f".{name}".endswith(f".{kept}") for kept in saved)]:
        raise model_error(
            Reason.ADAPTER_DOES_NOT_FIT,
            f"the adapter {adapter.source} has no {listed(left)}, which its base {adapter.base.source} lacks as well",
            "set model.source to the base, to begin an adapter for this task",
        )
    settings.revision = commit
    logger.info("going on from the adapter %s: rank %s, alpha %s", adapter.source, settings.r, settings.lora_alpha)
    return found


def adapted(model: PreTrainedModel, folder: Path, source: str, empty: bool = False) -> "PeftModel":
    """`model` with the adapter in a folder, to be trained on.

    Args:
        empty: Whether weights have shapes only; then those of the adapter are compared by theirs.

    Raises:
        TrainerError: MODEL when its settings cannot be followed, when it is not one of this model, for other classes, or its weights are no numbers.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    try:
        with outdated_names():
            settings = PeftConfig.from_pretrained(str(folder))
            settings.inference_mode = False
            settings.base_model_name_or_path = model.name_or_path
            found: PeftModel = get_peft_model(model, settings, low_cpu_mem_usage=empty)
    except torch.OutOfMemoryError:
        raise  # nothing is wrong with the adapter
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError, ArithmeticError) as error:
        if type(error).__name__ == "NoMatchingPeftModuleError":  # of modules that the base has not
            raise _unfit(source, str(error).splitlines()[0][:300]) from error
        raise _misdescribed(source, error) from error
    tensors = local_tensors(folder, source, ADAPTER_WEIGHTS) if empty else None
    if empty and tensors is None:
        return found  # only loading them shows what they are
    try:
        with outdated_names():
            tensors = dict(tensors) if tensors is not None else load_peft_weights(str(folder), device="cpu")
            result: Any = set_peft_model_state_dict(found, tensors)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise _unfit(
            source, (lines[1] if "size mismatch" in str(error) and len(lines) > 1 else lines[0])[:300]
        ) from error
    if not empty:
        check_adapter_finite(tensors, source, folder)
    trained = {name for name, weight in found.named_parameters() if weight.requires_grad}
    unknown = [name for name in result.unexpected_keys if not COMPUTED.search(name)]
    if left := sorted(unknown) or sorted(trained.intersection(result.missing_keys)):
        raise _unfit(source, f"weights such as {listed(left, 2)} are in one of the two only")
    return found


def merged(base: PreTrainedModel, folder: Path, source: str, empty: bool = False) -> PreTrainedModel:
    """`base` with the adapter in a folder added to its weights, all of which can be trained.

    Args:
        empty: As for `adapted`.
    """
    tied = bool(getattr(base.config, "tie_word_embeddings", False))
    with outdated_names():
        found: Any = adapted(base, folder, source, empty)
        check_mergeable(found, source)
        part_adapted(found)
        whole: PreTrainedModel = found.merge_and_unload()
    say_untied(whole, tied)
    return whole.requires_grad_()  # peft has switched it off


def check_mergeable(model: "PeftModel", source: str) -> None:
    """The adapter of a model can be added to its weights.

    Raises:
        TrainerError: MODEL, with what keeps it from that.
    """
    from peft.tuners.lora import LoraLayer

    settings: Any = model.peft_config["default"]
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    why = None
    if getattr(settings, "alora_invocation_tokens", None):
        why = "alora_invocation_tokens lets it change some tokens only"
    elif settings.lora_bias and any(getattr(layer.get_base_layer(), "bias", None) is None for layer in layers):
        why = "lora_bias adds a bias to layers that have none"
    if why:
        raise model_error(
            Reason.ADAPTER_NOT_SUPPORTED,
            f"the adapter {source} cannot be merged into its base: {why}",
            "train the adapter itself on: training.lora: {}, without merge",
        )


@contextmanager
def outdated_names() -> Iterator[None]:
    """peft uses names that transformers has given up, which no user can help."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _misdescribed(source: str, error: Exception) -> Exception:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return model_error(
        Reason.MODEL_CONFIG_WRONG,
        f"{source}: no adapter can be made of what its adapter_config.json says: {type(error).__name__}: {said:.300}",
        f"correct that in adapter_config.json; an adapter that is newer than peft {version('peft')} needs a trainer with a newer one",
    )


def _unfit(source: str, why: str) -> Exception:
    return model_error(
        Reason.ADAPTER_DOES_NOT_FIT,
        f"the adapter {source} does not fit its base, or was trained for other classes: {why}",
        "use the very base that it was trained for, and data with the same labels; or set model.source to the base",
    )
