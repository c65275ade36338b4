"""How much memory is free."""

from pathlib import Path

import pytest
import torch

from finetune_trainer.base.hardware import available_memory
from finetune_trainer.base.pinned_memory import pinned
from finetune_trainer.run.out_of_memory import gpu_shortage

MEMINFO = "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, 1_024_000),
        (
            {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5"},
            1_024_000,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "sys/fs/cgroup/memory.max": "500000\n",
                "sys/fs/cgroup/memory.current": "300000\n",
                "sys/fs/cgroup/memory.stat": "anon 200000\ninactive_file 40000\nactive_file 60000\n",
            },
            300_000,
        ),
    ],
    ids=["not told", "machine", "container without limit", "container with limit"],
)
def test_the_free_memory_is_that_of_machine_or_container(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert available_memory(tmp_path) == expected


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
        (MemoryError(), False),
    ],
)
def test_a_full_gpu_is_known_by_what_cuda_and_its_libraries_say(error: Exception, said: bool) -> None:
    outer = RuntimeError("training failed")
    outer.__cause__ = error

    assert gpu_shortage(outer) == (str(error) if said else None)


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 1), (4096, 4096), (4097, 8192), (3 << 30, 4 << 30)])
def test_pinned_memory_is_taken_in_powers_of_two(size: int, taken: int) -> None:
    assert pinned(size) == taken
