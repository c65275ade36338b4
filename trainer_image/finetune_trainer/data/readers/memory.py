"""Files of rows are read in the memory that there is: a process that takes more than that would be killed without a word."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psutil

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.base.hardware import available_cores, available_memory

_LEAST_MEMORY: Final = 2**31
_POOLS: Final = 2
"""Arrow's threads and OpenMP's: one for each core, whose stacks count as memory before any of them is used."""
_STACK: Final = 8 * 2**20


@contextmanager
def memory_for(names: str) -> Iterator[None]:
    """Within this, files are read in the memory that there is: what takes more is an error, and not the end of the process.

    Raises:
        TrainerError: OUT_OF_MEMORY, naming the files.
    """
    left = max(available_memory() or 0, _LEAST_MEMORY)
    before = _limit_data(left)
    try:
        yield
    except Exception as error:
        # `datasets` raises an error of its own, of which that of the memory is the cause.
        if isinstance(error, TrainerError) or not any(isinstance(each, MemoryError) for each in causes(error)):
            raise
        raise TrainerError(
            ExitCode.OUT_OF_MEMORY,
            Reason.OUT_OF_MEMORY,
            f"{names}: to read it takes more than the {left / 2**30:.1f} GiB of memory that are left",
            "raise resources.memory, or write shorter rows: of jsonl some are in memory at a time, of parquet a thousand",
        ) from error
    finally:
        if before is not None:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _limit_data(more: int) -> tuple[int, int] | None:
    """Let this process take so many more bytes of memory. Return the limits from before; None where the system has none."""
    if sys.platform != "linux":
        return None
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = psutil.Process().memory_info().data + more + _POOLS * available_cores() * _STACK
    resource.setrlimit(resource.RLIMIT_DATA, (min([most, *(each for each in before if each >= 0)]), before[1]))
    return before
