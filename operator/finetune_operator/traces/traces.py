"""The traces of all jobs: one each, which begins with the job's creation. Nothing here raises, waits or grows without bound."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cachetools import LRUCache

from finetune_api.base import JsonObject
from finetune_api.report import Report
from finetune_api.status import Attempt
from finetune_operator.traces.lifecycle import completed, deleted
from finetune_operator.traces.passes import Pass, under_way
from finetune_operator.traces.span import Span
from finetune_operator.traces.stages import Sender, Stages

_SELDOM: Final = timedelta(minutes=1)
"""Least time between two reports of a job, and between two passes, that have a span though nothing is new but numbers."""
_JOBS: Final = 20_000
"""Those of which it is known what they do; of more, those that were not heard of for longest are forgotten."""

logger = logging.getLogger(__name__)


class Exporter(Protocol):
    """Takes spans without waiting, and sends them some time."""

    def emit(self, span: Span) -> None:
        """Take a span."""

    def close(self) -> None:
        """Send what is left, for a short time at the most."""


@dataclass
class _Known:
    """What has to be remembered of a job."""

    stages: Stages = field(default_factory=Stages)
    last_report: datetime | None = None
    last_pass: datetime | None = None


class Traces:
    """Makes spans of what it is told. Without an exporter it does nothing."""

    def __init__(
        self,
        exporter: Exporter | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jobs: int = _JOBS,
    ) -> None:
        self._exporter = exporter
        self._clock = clock
        self._known: LRUCache[str, _Known] = LRUCache(jobs)

    @property
    def on(self) -> bool:
        """Whether there is an exporter."""
        return self._exporter is not None

    @contextmanager
    def reconciling(self, uid: str | None) -> Iterator[None]:
        """A pass for the job with this uid, from beginning to end. What it raises passes through."""
        if self._exporter is None or uid is None:
            yield
            return
        this, failure = Pass(self._clock()), None
        try:
            with under_way(this):
                yield
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            self._passed(uid, this, failure)

    def _passed(self, uid: str, this: Pass, failure: str | None) -> None:
        with _harmless():
            now, known = self._clock(), self._of(uid)
            if this.matters or ((this.wrote or failure) and _is_due(known.last_pass, now)):
                known.last_pass = now
                self._emit(this.spans(uid, now, failure))
            for status in this.statuses:
                ended = {each.pod: each.end_time for each in status.after.attempts if each.end_time}
                for pod, end in ended.items():
                    self._emit(known.stages.end(end, pod))
                over = completed(status)
                self._emit(over)
                if status.is_of_another_run or any(span.name in ("FineTuneJob", "run") for span in over):
                    self._emit(known.stages.end(now))
                    self._known.pop(uid, None)

    def reported(
        self,
        sender: Sender,
        report: Report | None,
        *,
        at: datetime,
        took: float,
        attempts: Callable[[], Sequence[Attempt]],
    ) -> None:
        """A report that was taken at `at`, after `took` seconds; None for one of stock transformers.

        `attempts` are those of the job's status, asked for when a pod is heard of for the first time.
        """
        if self._exporter is None or report is None:
            return
        with _harmless():
            known = self._of(sender.uid)
            over = known.stages.hear(sender, report, at, attempts)
            if over is None:
                return
            self._emit(over)
            if over or _is_due(known.last_report, at):
                known.last_report = at
                attributes = {"k8s.pod.name": sender.pod, "finetune.stage": report.stage}
                begin, place = at - timedelta(seconds=took), ("report", sender.pod, str(report.sequence))
                self._emit([Span(sender.uid, "report", place, sender.place, begin, at, attributes, "server")])

    def deleted(self, raw: JsonObject) -> None:
        """A FineTuneJob as it was when it was deleted."""
        if self._exporter is None:
            return
        with _harmless():
            metadata, status = raw["metadata"], raw.get("status") or {}
            known = self._known.pop(metadata["uid"], None)
            if status.get("phase") in ("Succeeded", "Failed"):
                return
            now, created = self._clock(), datetime.fromisoformat(metadata["creationTimestamp"])
            self._emit(known.stages.end(now) if known else [])
            self._emit([deleted(metadata["uid"], metadata["namespace"], metadata["name"], created, now)])

    def close(self) -> None:
        """Send what is left, for a short time at the most."""
        if self._exporter is not None:
            self._exporter.close()

    def _of(self, uid: str) -> _Known:
        if uid not in self._known:
            self._known[uid] = _Known()
        return self._known[uid]

    def _emit(self, spans: Sequence[Span]) -> None:
        if self._exporter is not None:
            for span in spans:
                self._exporter.emit(span)


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.warning("a span is lost: %s %s", type(error).__name__, error, exc_info=error)


def _is_due(last: datetime | None, now: datetime) -> bool:
    return last is None or now - last >= _SELDOM
