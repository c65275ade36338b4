"""A span of a job's trace, and its ids, which follow from what it is: nothing has to be handed around or remembered.

Another operator that takes over goes on with the same trace, and a span that two of them emit is the same one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

Place: TypeAlias = tuple[str, ...]
"""What tells a span from all others of its trace, such as ("attempt", "yelp-x7k2p")."""
Value: TypeAlias = str | int | float | bool

JOB: Final[Place] = ("job",)
"""The root of each trace."""


@dataclass(frozen=True)
class Span:
    """Something that took place from `start` to `end`, for the FineTuneJob with the uid `job`."""

    job: str
    name: str
    place: Place
    parent: Place | None
    """The span that it is a part of; None for JOB."""
    start: datetime
    end: datetime
    attributes: Mapping[str, Value | None] = field(default_factory=dict)
    """What is None is left out."""
    kind: Literal["internal", "server", "client"] = "internal"
    failure: str | None = None
    """Why it failed, in a word; None if it did not."""


def trace_id(uid: str) -> int:
    """The uid itself, which has the 128 bits of a trace's id: whoever knows the job finds its trace."""
    try:
        return UUID(uid).int
    except ValueError:  # of an API server whose uids are no UUIDs
        return _hash((uid,), 16)


def span_id(uid: str, place: Place) -> int:
    """64 bits that are never zero, which means no span."""
    return _hash((uid, *place), 8) or 1


def mixed(trace: int) -> int:
    """128 bits of which each is as good as any other: those of a UUID say which kind it is, and a sampler takes them for chance."""
    return _hash((f"{trace:032x}",), 16)


def _hash(parts: tuple[str, ...], size: int) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:size], "big")
