"""Checkpoints whose weights are kept in fewer bits: they are brought back to full ones where that is known to be right.

A weight of such a file is half a number: its scale is beside it. Read without, it is off by that factor.
"""

from typing import Any

from transformers.utils.quantization_config import FineGrainedFP8Config, Mxfp4Config

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error

_RESTORED = {"fp8": FineGrainedFP8Config, "mxfp4": Mxfp4Config}
"""transformers' settings for what it brings back to full weights itself, on any device."""


def how_quantized(config: Any) -> str | None:
    """By which method the weights that a model's configuration belongs to are quantized; None where they are not."""
    settings = next((found for part in (config, config.get_text_config()) if (found := _settings(part))), None)
    if settings is None:
        return None
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        return "bitsandbytes"
    return str(settings.get("quant_method") or "an unknown method")


def _settings(config: Any) -> dict[str, Any] | None:
    found = getattr(config, "quantization_config", None) or getattr(config, "compression_config", None)
    if found is None:
        return None
    return dict(found if isinstance(found, dict) else found.to_dict())


def check_quantization(config: Any, source: str, again: bool) -> None:
    """Weights that are quantized can be brought back to full ones.

    Args:
        again: Whether they are to be quantized for the training.

    Raises:
        TrainerError: MODEL, naming the method.
    """
    method = how_quantized(config)
    if method is None:
        return
    if method not in _RESTORED:
        raise model_error(
            Reason.MODEL_IS_QUANTIZED,
            f"the weights of {source} are quantized by {method}, and cannot be trained",
            "use the model that it was made from, unquantized; training.lora.quantization holds it in 4 or 8 bits",
        )
    if again:
        raise model_error(
            Reason.MODEL_IS_QUANTIZED,
            f"the weights of {source} are quantized by {method}, and cannot be quantized once more",
            "leave training.lora.quantization out, or use the unquantized model that it was made from",
        )


def restored(config: Any) -> Any:
    """transformers' settings by which quantized weights are loaded as full ones; None where they are full already."""
    method = how_quantized(config)
    return _RESTORED[method](dequantize=True) if method in _RESTORED else None
