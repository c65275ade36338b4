"""What makes a training fast on the device at hand, where the user says nothing of it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from finetune_trainer.base.hardware import available_cores

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where torch's workers put their batches
_ENOUGH_SHARED_MEMORY: Final = 1 << 30
_MOST_WORKERS: Final = 4
_FIRST_WITH_TENSOR_FLOAT: Final = 8
"""Major compute capability of NVIDIA's Ampere, the first with bfloat16 and TF32."""


@dataclass(frozen=True)
class Device:
    """What one training process has."""

    gpu: bool
    capability: int
    """Major compute capability of the GPU; 0 without one."""
    cores: int
    """CPU cores, shared evenly among the processes of this machine."""
    shared_memory: int
    """Bytes free in /dev/shm. Containers have 64 MiB unless told otherwise, which a few long batches fill."""


SOME_GPU: Final = Device(gpu=True, capability=_FIRST_WITH_TENSOR_FLOAT, cores=1, shared_memory=0)
"""What is assumed of a GPU that is on another machine than this."""


def device_at_hand(use_cpu: bool, processes: int) -> Device:
    """Look at this machine; `processes` of them train on it."""
    gpu = not use_cpu and torch.cuda.is_available()
    try:
        disk = os.statvfs(_SHARED_MEMORY)
        free = disk.f_bavail * disk.f_frsize
    except OSError:
        free = 0
    return Device(
        gpu=gpu,
        capability=torch.cuda.get_device_capability()[0] if gpu else 0,
        cores=max(1, available_cores() // processes),
        shared_memory=free,
    )


def trains_in_bf16(given: dict[str, Any], device: Device) -> bool:
    """Whether the forward pass is in bfloat16: on GPUs that have it, unless training.arguments say otherwise."""
    return bool(given.get("bf16", device.capability >= _FIRST_WITH_TENSOR_FLOAT and not given.get("fp16")))


def speed_defaults(given: dict[str, Any], device: Device) -> dict[str, Any]:
    """Fields of TrainingArguments, none of which is in `given`, the user's own.

    The rest of what is fast is the default already: a fused AdamW and scaled dot product attention, of transformers;
    batches of like length, padded to multiples of 8, of ours.
    """
    chosen: dict[str, Any] = {}
    if device.capability >= _FIRST_WITH_TENSOR_FLOAT:
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
