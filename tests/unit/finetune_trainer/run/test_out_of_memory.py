"""How much memory is free, what counts as too little, and what is tried then."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.base.hardware import available_memory
from finetune_trainer.base.pinned_memory import pinned
from finetune_trainer.run.out_of_memory import gpu_shortage, smaller
from finetune_trainer.settings.batch_plan import BatchPlan

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


@pytest.mark.parametrize(
    ("before", "evaluating", "can_checkpoint", "after"),
    [
        (BatchPlan(8, 1, 8, False), False, True, BatchPlan(4, 2, 8, False)),
        (BatchPlan(9, 2, 8, False), False, True, BatchPlan(3, 6, 8, False)),
        (BatchPlan(5, 1, 8, False), False, True, BatchPlan(1, 5, 8, False)),
        (BatchPlan(1, 8, 8, False), False, True, BatchPlan(1, 8, 8, True)),
        (BatchPlan(1, 8, 8, False), False, False, None),
        (BatchPlan(1, 8, 8, True), False, True, None),
        (BatchPlan(8, 1, 9, False), True, True, BatchPlan(8, 1, 4, False)),
        (BatchPlan(8, 1, 1, False), True, True, None),
    ],
)
def test_first_smaller_batches_then_activation_checkpointing_then_nothing(
    before: BatchPlan, evaluating: bool, can_checkpoint: bool, after: BatchPlan | None
) -> None:
    assert smaller(before, evaluating, can_checkpoint) == after


@given(st.integers(1, 65_536), st.integers(1, 64))
def test_a_step_keeps_its_rows_until_nothing_is_left_to_try(batch_size: int, accumulation: int) -> None:
    plan: BatchPlan | None = BatchPlan(batch_size, accumulation, 8, False)
    tries = 0

    while plan:
        assert plan.batch_size * plan.accumulation == batch_size * accumulation
        last, plan, tries = plan, smaller(plan, evaluating=False), tries + 1

    assert (last.batch_size, last.activation_checkpointing) == (1, True)
    assert tries <= 18
