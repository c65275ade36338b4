"""The latest reports of one job, in memory only: after a restart the next report brings the whole state again."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from finetune_api.report import ReportBody
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import NEXT_REPORT, Received

_PODS = 4
"""Those of a job that may report one after the other: of the preflight, of an attempt that ends, of the one that follows."""


class News(Enum):
    """What a report brings."""

    NONE = auto()
    """A later one has come before it."""
    NUMBERS = auto()
    PHASE = auto()
    """It is the pod's first, or the first of its training."""


@dataclass(frozen=True)
class _Packed:
    """A report, with its body as compressed JSON: parsed, 64 KiB of it take a megabyte."""

    key: Key
    pod_name: str
    time: datetime
    sequence: int | None
    """None for a report of stock transformers."""
    prepares: bool
    body: bytes
    unbroken_since: datetime


def _pack(received: Received, before: _Packed | None) -> _Packed:
    body, report = received.body, received.body.report
    prepares = report is not None and report.stage == "Preparing"
    data = zlib.compress(body.model_dump_json(by_alias=True, exclude_none=True).encode(), 1)
    sequence, time = report.sequence if report else None, received.time
    since = before.unbroken_since if before is not None and time - before.time <= NEXT_REPORT else time
    return _Packed(received.key, received.pod_name, time, sequence, prepares, data, since)


class _Reports(Mapping[str, Received]):
    """Reports by the uid of their pod, each parsed when it is asked for."""

    def __init__(self, packed: Mapping[str, _Packed]) -> None:
        self._packed = packed

    def __getitem__(self, pod_uid: str) -> Received:
        packed = self._packed[pod_uid]
        body = ReportBody.model_validate_json(zlib.decompress(packed.body))
        return Received(packed.key, packed.pod_name, pod_uid, body, packed.time, unbroken_since=packed.unbroken_since)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


@dataclass
class LatestReports:
    """What the pods of one FineTuneJob reported last, each for itself."""

    _packed: dict[str, _Packed] = field(default_factory=dict)
    unread: str = ""
    """What was wrong with the first report that could not be read; empty if there was none."""
    refused: frozenset[str] = frozenset()
    """Uids of the pods with whose reports, or final reports, the API server took no status."""

    @property
    def received(self) -> Mapping[str, Received]:
        """The newest report of each pod, by the pod's uid, in the order in which the pods reported last."""
        return _Reports(self._packed)

    def take(self, received: Received) -> News:
        """Keep a report, unless a later one of the same pod overtook it. Return what it brings."""
        known = self._packed.pop(received.pod_uid, None)
        new = _pack(received, known)
        overtaken = known is not None and _overtaken(new, known)
        self._packed[received.pod_uid] = known if known is not None and overtaken else new
        while len(self._packed) > _PODS:
            del self._packed[next(iter(self._packed))]
        if overtaken:
            return News.NONE
        return News.NUMBERS if known is not None and known.prepares == new.prepares else News.PHASE

    def refuse(self, why: str) -> bool:
        """Keep why a report was refused. Return whether it is the first: the others repeat it."""
        first = not self.unread
        self.unread = self.unread or why
        return first

    def clear(self) -> None:
        """Drop it all, for a job that has ended."""
        self._packed.clear()
        self.unread, self.refused = "", frozenset()


def _overtaken(new: _Packed, old: _Packed) -> bool:
    if old.sequence is None:
        return False
    # A pod that sends our report and stock transformers' one as well: ours knows more.
    return new.sequence is None or new.sequence <= old.sequence
