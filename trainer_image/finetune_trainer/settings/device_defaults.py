"""Fields of TrainingArguments that make a training fast on its device, where the user does not set them."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_trainer.settings.device import AMPERE, Device

_ENOUGH_SHARED_MEMORY: Final = 1 << 30
_MOST_WORKERS: Final = 4


def trains_in_bf16(given: Mapping[str, Any], device: Device) -> bool:
    """Return whether the forward pass is in bfloat16: on GPUs that have it, unless training.arguments say otherwise."""
    return bool(given.get("bf16", device.capability >= AMPERE and not given.get("fp16")))


def device_defaults(given: Mapping[str, Any], device: Device) -> dict[str, Any]:
    """Fields of TrainingArguments, none of which is in `given`, the user's own.

    The rest of what is fast is the default already: a fused AdamW and scaled dot product attention, of transformers;
    batches of like length, padded to multiples of 8, of ours.
    """
    chosen: dict[str, Any] = {}
    if device.capability >= AMPERE:
        chosen["bf16"] = trains_in_bf16(given, device)
        # Under full determinism the user asks for the same numbers everywhere, not for speed.
        chosen["tf32"] = not given.get("full_determinism", False)
    workers = given.get("dataloader_num_workers", _workers(device))
    chosen["dataloader_num_workers"] = workers
    chosen["dataloader_persistent_workers"] = workers > 0
    chosen["dataloader_pin_memory"] = device.gpu
    return {name: value for name, value in chosen.items() if name not in given}


def _workers(device: Device) -> int:
    """Processes that pad batches. On the CPU they would take the cores that train; one core is left to the training."""
    if not device.gpu or device.shared_memory < _ENOUGH_SHARED_MEMORY:
        return 0
    return min(_MOST_WORKERS, max(0, device.cores - 1))
