"""How much may become of a file of rows: files are read by whoever trains, and anybody may have written them.

A bomb is a small file of which there is very much once it is read: a packed one, a table of one value a billion times, objects that each
have keys of their own. Text that people write packs to a tenth or a hundredth of its size.
"""

import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import IO, Final

import psutil

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes, data_error
from finetune_trainer.base.hardware import available_cores, available_memory

MOST_COLUMNS: Final = 10_000
MOST_CHARACTERS: Final = 250_000_000
"""Of a row, and of a line of a file."""
MOST_OF_A_LIST: Final = 2_000_000_000
"""Characters of JSON that is not a row a line: it is in memory as a whole."""
_TIMES: Final = 200
_ALWAYS: Final = 2**30
"""Bytes that may become of any file, however small."""
_LEAST_MEMORY: Final = 2**31
_POOLS: Final = 2
"""Arrow's threads and OpenMP's: one for each core, whose stacks count as memory before any of them is used."""
_STACK: Final = 8 * 2**20


def most_bytes(files: Iterable[Path]) -> int:
    """Return how much may become of the files."""
    return max(_ALWAYS, _TIMES * sum(path.stat().st_size for path in files))


def bomb(name: str, what: str, most: int) -> TrainerError:
    """Return the failure of a file of which there is more than `most_bytes`."""
    return data_error(
        Reason.DATASET_UNREADABLE,
        f"{name}: {what} more than {most / 2**30:.1f} GiB, which is more than {_TIMES} times the size of the file",
        "check where the file is from; what it really holds can be written as jsonl, a row a line",
    )


def check_columns(name: str, count: int) -> None:
    """Check that a file has no more columns than can be read.

    Raises:
        TrainerError: DATA, naming the file.
    """
    if count > MOST_COLUMNS:
        raise data_error(
            Reason.DATASET_UNREADABLE,
            f"{name} has {count} columns, and at most {MOST_COLUMNS} are read",
            "keep the columns that are trained on; values by many names belong into one column, as a list or an object",
        )


def too_long(name: str, line: int, what: str = "it", most: int = MOST_CHARACTERS) -> TrainerError:
    """Return the failure of a row, or of a whole of JSON, that is longer than can be read."""
    return data_error(
        Reason.DATASET_UNREADABLE,
        f"{name}, line {line}: {what} is longer than {most // 1_000_000} million characters",
        "is it a file of rows? Write jsonl with a row a line, and cut texts that no model can read",
    )


class Unpacked(RawIOBase):
    """The content of a packed file, of which there is no more than its size allows."""

    def __init__(self, content: IO[bytes], name: str, packed: Path) -> None:
        self._content, self._name, self._most = content, name, most_bytes([packed])
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        chunk = self._content.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._read += len(chunk)
        if self._read > self._most:
            raise bomb(self._name, "unpacked it takes", self._most)
        return len(chunk)

    def close(self) -> None:
        self._content.close()
        super().close()


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
