"""LoRA: a small adapter is trained beside a model that stays as it is. By peft.

What starts at random must be in the adapter as well, or nobody could load what was trained: the head of a classifier,
and any other weights that the pretrained model does not have.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.training import Lora
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.text import did_you_mean, listed
from finetune_trainer.models.adapted import check_mergeable, go_on, outdated_names
from finetune_trainer.models.loading import Loaded
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.storage.uris import is_hub_id

if TYPE_CHECKING:
    from peft import PeftModel


def load_adapted(
    load: Callable[[Pretrained], Loaded], pretrained: Pretrained, peft_type: str, lora: Lora, bf16: bool
) -> "PeftModel":
    """The model with an adapter that starts as no change; only the adapter, and what starts at random, is trained.

    Args:
        load: As `TaskData.load_model`.
        peft_type: peft's name of the task, such as SEQ_CLS.
        bf16: Whether the forward pass is in bfloat16: weights that are not trained need no more bits than it has.

    Raises:
        TrainerError: MODEL as for any model; BAD_CONFIGURATION for target modules that it does not have.
    """
    base = replace(pretrained, dtype=torch.bfloat16 if bf16 else torch.float32, adapter=None)
    if lora.quantization and not pretrained.empty:
        loaded = _load_quantized(load, base, lora.quantization)
    else:
        loaded = load(base)
    model, fresh, paths = loaded.model, loaded.fresh_modules, set(_paths(loaded.model))
    if pretrained.adapter is None:
        added = _add_adapter(model, fresh, base, peft_type, lora)
    else:
        added = go_on(model, pretrained.adapter, fresh, base.commit, base.empty)
        if lora.merge:
            check_mergeable(added, pretrained.adapter.source)
    return _finished(added, base, paths)


def _load_quantized(load: Callable[[Pretrained], Loaded], base: Pretrained, bits: Literal["4bit", "8bit"]) -> Loaded:
    from peft import prepare_model_for_kbit_training

    # It warns at each forward pass that the 8-bit product is made from float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)

    def quantized(skipped: list[str] | None) -> Loaded:
        # NF4 with quantized constants, as in section 3 of https://arxiv.org/abs/2305.14314.
        settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=bits == "4bit",
            load_in_8bit=bits == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=base.dtype,
            llm_int8_skip_modules=skipped,
        )
        return load(replace(base, quantization=settings))

    loaded = quantized(None)
    if fresh := loaded.fresh_modules:  # these are trained, which quantized weights cannot be
        output = loaded.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        kept = [name for name, module in loaded.model.named_modules() if module is output]
        loaded = quantized(fresh + kept)
    module: Any
    for module in loaded.model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # An evaluation on such a CPU would pack the weights in a way that has no gradients in the next step.
            module.support_avx512bf16_for_cpu = False
    # Activation checkpointing is switched on by the engine, from its arguments.
    model = prepare_model_for_kbit_training(loaded.model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    return replace(loaded, model=model)


def _add_adapter(model: PreTrainedModel, fresh: list[str], base: Pretrained, peft_type: str, lora: Lora) -> "PeftModel":
    from peft import LoraConfig, get_peft_model

    _check_targets(model, lora.target_modules, fresh)
    settings = LoraConfig(
        task_type=peft_type,
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # any number will do
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
        modules_to_save=fresh or None,
        revision=base.commit,
    )
    try:
        with outdated_names():
            return get_peft_model(model, settings, low_cpu_mem_usage=base.empty)
    except ValueError as error:
        raise bad_configuration(
            f"training.lora.targetModules: {str(error).splitlines()[0]:.400}",
            f"these can be adapted: {listed(sorted(_linear_names(model, fresh)))}",
        ) from error


def _finished(model: "PeftModel", base: Pretrained, paths: set[str]) -> "PeftModel":
    """What is trained is in float32, and the adapter's configuration is one that others can read.

    Args:
        paths: Of all modules, before there was an adapter.
    """
    from peft.utils import ModulesToSaveWrapper

    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            module.modules_to_save.float()
    kept: Any = model.peft_config["default"]
    if not is_hub_id(base.source) and not base.source.startswith("file://"):
        kept.base_model_name_or_path = base.source  # and not where it lies on this machine
    # Sets would be written in another order by each process, and the digest of the files with them.
    if not isinstance(kept.target_modules, str):
        kept.target_modules = sorted(kept.target_modules)
    kept.modules_to_save = sorted(paths.intersection(kept.modules_to_save or ())) or None
    return model


def _check_targets(model: PreTrainedModel, wanted: list[str] | None, fresh: list[str]) -> None:
    """Each name is that of a module, or the end of one's path.

    Raises:
        TrainerError: BAD_CONFIGURATION, with the names that there are.
    """
    paths = _paths(model)
    for target in wanted or ():
        if not any(path == target or path.endswith(f".{target}") for path in paths):
            known = sorted(_linear_names(model, fresh))
            raise bad_configuration(
                f"training.lora.targetModules: {target}: the model has no such module{did_you_mean(target, known)}",
                f"there are {listed(known)}; leave targetModules out for all of them",
            )


def _paths(model: PreTrainedModel) -> list[str]:
    return [name for name, _ in model.named_modules()]


def _linear_names(model: PreTrainedModel, fresh: list[str]) -> set[str]:
    """Last names of the linear layers."""
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and not any(f"{name}.".startswith(f"{m}.") for m in fresh)
    }
