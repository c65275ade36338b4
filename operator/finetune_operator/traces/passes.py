"""What one pass of reconciling did: the requests that it made, and the statuses that it wrote.

Noted where it happens, in the pass that the present task is in, if there is one: without traces there is none, and nothing is noted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from finetune_operator.traces.lifecycle import Written
from finetune_operator.traces.span import JOB, Span

_MOST: Final = 64
"""Requests of a pass of which each has a span; a pass makes a few."""
_READS: Final = ("get", "list", "watch")


@dataclass(frozen=True)
class Request:
    """A request to the Kubernetes API; code 0 if there was no answer."""

    verb: str
    resource: str
    code: int
    start: datetime
    end: datetime


@dataclass
class Pass:
    """One pass for one job."""

    start: datetime
    requests: list[Request] = field(default_factory=list)
    statuses: list[Written] = field(default_factory=list)

    @property
    def wrote(self) -> bool:
        """Whether it changed anything, or tried to."""
        return any(request.verb not in _READS for request in self.requests)

    @property
    def matters(self) -> bool:
        """Whether it did more than to write new numbers into the status."""
        other = any(request.verb not in _READS and request.resource != _STATUS for request in self.requests)
        return other or any(status.of_phase for status in self.statuses)

    def spans(self, uid: str, end: datetime, failure: str | None) -> list[Span]:
        """The pass and its requests."""
        place = "pass", self.start.isoformat()
        spans = [Span(uid, "reconcile", place, JOB, self.start, end, {"finetune.wrote": self.wrote}, failure=failure)]
        for number, each in enumerate(self.requests):
            code = each.code or None
            name, parts = f"{each.verb} {each.resource}", {"http.response.status_code": code}
            failed = None if 200 <= each.code < 400 else str(code or "no answer")
            request = ("request", *place, str(number))
            spans.append(Span(uid, name, request, place, each.start, each.end, parts, "client", failed))
        return spans


_STATUS: Final = "finetunejobs/status"
_current: ContextVar[Pass | None] = ContextVar("pass", default=None)


@contextmanager
def under_way(this: Pass) -> Iterator[None]:
    """What is noted meanwhile, in this task, belongs to the pass."""
    token = _current.set(this)
    try:
        yield
    finally:
        _current.reset(token)


def is_noted() -> bool:
    """Whether there is a pass to note something in."""
    return _current.get() is not None


def note_request(request: Request) -> None:
    """Note a request, if there is a pass."""
    this = _current.get()
    if this is not None and len(this.requests) < _MOST:
        this.requests.append(request)


def note_status(status: Written) -> None:
    """Note a status that was written, if there is a pass."""
    this = _current.get()
    if this is not None:
        this.statuses.append(status)
