"""How much CPU memory tensors take, pinned or not."""

from collections.abc import Mapping

import torch


def bytes_of(state: object) -> int:
    """Return the bytes that a copy in CPU memory takes of all tensors in nested dicts, lists and tuples."""
    if isinstance(state, torch.Tensor):
        size = state.numel() * state.element_size()
        return pinned(size) if state.device.type == "cuda" else size
    if isinstance(state, Mapping):
        return sum(bytes_of(inner) for inner in state.values())
    return sum(bytes_of(inner) for inner in state) if isinstance(state, list | tuple) else 0


def pinned(size: int) -> int:
    """Return the bytes that torch takes for a block of pinned memory of `size` bytes: the next power of two."""
    return 1 << (size - 1).bit_length() if size else 0


def kept_pinned_memory() -> int:
    """Return the bytes of pinned memory that torch keeps for later, and nothing uses now."""
    if not torch.cuda.is_available():
        return 0
    stats = torch.cuda.host_memory_stats()
    return int(stats.get("allocated_bytes.current", 0) - stats.get("active_bytes.current", 0))
