"""How much may become of a file of rows: files are read by whoever trains, and anybody may have written them.

A bomb is a small file of which there is very much once it is read: a packed one, a table of one value a billion times, objects that each
have keys of their own. Text that people write packs to a tenth or a hundredth of its size.
"""

from collections.abc import Iterable
from io import RawIOBase
from pathlib import Path
from typing import IO, Final

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error

MOST_COLUMNS: Final = 10_000
MOST_CHARACTERS: Final = 250_000_000
"""Of a row, and of a line of a file."""
MOST_OF_A_LIST: Final = 2_000_000_000
"""Characters of JSON that is not a row a line: it is in memory as a whole."""
_TIMES: Final = 200
_ALWAYS: Final = 2**30
"""Bytes that may become of any file, however small."""


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
