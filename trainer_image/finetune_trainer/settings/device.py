"""What a training process trains on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from finetune_trainer.base.hardware import available_cores

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where torch's workers put their batches
AMPERE: Final = 8
"""Major compute capability of the first NVIDIA GPUs with bfloat16 and TF32."""


@dataclass(frozen=True)
class Device:
    """What one training process has."""

    name: str
    gpu: bool
    capability: int
    """Major compute capability of the GPU; 0 without one."""
    cores: int
    """CPU cores, shared evenly among the processes of this machine."""
    shared_memory: int
    """Bytes free in /dev/shm. Containers have 64 MiB by default, which a few long batches fill."""
    here: bool = True
    """Whether it is on this machine; else its memory is not known."""


SOME_GPU: Final = Device(name="GPU", gpu=True, capability=AMPERE, cores=1, shared_memory=0, here=False)
"""What is assumed of a GPU on another machine."""


def find_device(use_cpu: bool, processes: int, *, here: bool = True) -> Device:
    """Look at this machine, where `processes` train; or assume a GPU where the run is not here and asks for one."""
    if not here and not use_cpu:
        return SOME_GPU
    gpu = not use_cpu and torch.cuda.is_available()
    return Device(
        name=torch.cuda.get_device_name(0) if gpu else "CPU",
        gpu=gpu,
        capability=torch.cuda.get_device_capability()[0] if gpu else 0,
        cores=max(1, available_cores() // processes),
        shared_memory=_free_shared_memory(),
        here=here,
    )


def _free_shared_memory() -> int:
    try:
        disk = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize
