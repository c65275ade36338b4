"""What the processes of a run send each other besides tensors: bytes, and values as JSON. Never pickles.

A pickle is a program that whoever reads it runs. torch's own `…_object` calls send pickles, and libraries make such calls:
`read_no_code` has them read as data. Bytes are sent over the CPU's memory, in the order of ranks.
"""

import io
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from pydantic import TypeAdapter
from torch.distributed import distributed_c10d
from torch.distributed._state_dict_utils import _TensorInfo
from torch.serialization import safe_globals

T = TypeVar("T")

_MOST_BYTES = 2**31
"""In one message. What a process says beyond that is no size."""


class _Objects:
    """In place of `pickle.Pickler` and `pickle.Unpickler`: writes and reads objects as checkpoints are written and read.

    Numbers, texts, lists, maps, tensors and their shapes are read, and all else is refused.
    """

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def dump(self, value: Any) -> None:
        torch.save(value, self._file)

    def load(self) -> Any:
        with safe_globals([_TensorInfo]):
            return torch.load(self._file, map_location="cpu", weights_only=True)


def read_no_code() -> None:
    """Let no process of this run execute what another one sends, from whichever library the call comes."""
    names: Any = distributed_c10d
    names._pickler = names._unpickler = _Objects


def gather(content: bytes, group: dist.ProcessGroup | None = None) -> list[bytes]:
    """Return the bytes of each process, by rank. All must call it at the same time.

    Args:
        group: One with gloo; the default one if left out.
    """
    if not _together(group):
        return [content]
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, torch.tensor([len(content)]), group=group)
    lengths = [_checked(int(size)) for size in sizes]
    longest = max(1, *lengths)
    parts = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
    dist.all_gather(parts, _tensor(content, longest), group=group)
    return [part[:length].numpy().tobytes() for part, length in zip(parts, lengths, strict=True)]


def gather_number(value: float) -> list[float]:
    """Return the number of each process, by rank. All must call it at the same time."""
    if not _together(None):
        return [value]
    numbers = [torch.zeros(1, dtype=torch.float64) for _ in range(dist.get_world_size())]
    dist.all_gather(numbers, torch.tensor([value], dtype=torch.float64))
    return [float(number) for number in numbers]


def broadcast_bytes(content: bytes, group: dist.ProcessGroup | None = None) -> bytes:
    """Return the bytes that the process of rank 0 has. All must call it at the same time.

    Args:
        group: One with gloo; the default one if left out.
    """
    if not _together(group):
        return content
    own = content if dist.get_rank() == 0 else b""
    size = torch.tensor([len(own)])
    dist.broadcast(size, src=0, group=group)
    length = _checked(int(size))
    sent = _tensor(own, max(1, length))
    dist.broadcast(sent, src=0, group=group)
    return sent[:length].numpy().tobytes()


def broadcast(value: T, kind: Any, group: dist.ProcessGroup | None = None) -> T:
    """Return the value that the process of rank 0 has, sent as JSON. `kind` is its type, by which pydantic reads it."""
    if not _together(group):
        return value
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    return adapter.validate_json(broadcast_bytes(adapter.dump_json(value), group))


def _together(group: dist.ProcessGroup | None) -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def _tensor(content: bytes, length: int) -> torch.Tensor:
    padded = torch.zeros(length, dtype=torch.uint8)
    padded[: len(content)] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(content)]
    return padded


def _checked(size: int) -> int:
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError(f"another process sends {size} bytes, which none does")
    return size
