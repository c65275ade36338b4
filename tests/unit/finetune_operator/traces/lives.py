"""The lives of jobs, told to traces step by step, and what is exported of them."""

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.finetune_operator.samples import START, UID, at, stamp

from finetune_api.report import Report
from finetune_api.status import FineTuneJobStatus
from finetune_operator.traces.lifecycle import Written
from finetune_operator.traces.otlp import OtlpExporter
from finetune_operator.traces.passes import Request, note_request, note_status
from finetune_operator.traces.stages import Sender
from finetune_operator.traces.traces import Traces


def attempt(number: int = 1, **others: Any) -> dict[str, Any]:
    return {"number": number, "pod": f"yelp-{number}", **others}


@dataclass
class Life:
    """One job, and the operator that leads."""

    uid: str = UID
    time: float = 0
    """Seconds since START."""
    memories: list[InMemorySpanExporter] = field(default_factory=list)
    """What each operator has exported."""

    def __post_init__(self) -> None:
        self.status = FineTuneJobStatus()
        self._sequence = 0
        self.start_operator()

    def start_operator(self) -> None:
        """Another operator takes over, which knows nothing but the status."""
        self.memories.append(InMemorySpanExporter())
        self.exporter = OtlpExporter(self.memories[-1])
        self.traces = Traces(self.exporter, clock=lambda: at(self.time))

    def reconcile(self, *requests: tuple[str, str, int], error: Exception | None = None, **status: Any) -> None:
        """A pass of one second that makes these requests, and writes the status with these fields changed, if any."""
        with self.traces.reconciling(self.uid):
            self.time += 1
            for verb, resource, code in requests:
                note_request(Request(verb, resource, code, at(self.time - 0.5), at(self.time)))
            if status:
                before = self.status
                self.status = FineTuneJobStatus.model_validate(
                    {name: value for name, value in {**before.to_wire(), **status}.items() if value is not None}
                )
                note_request(Request("update", "finetunejobs/status", 200, at(self.time - 0.5), at(self.time)))
                note_status(Written(self.uid, "team-a", "yelp", START, before, self.status, at(self.time)))
            if error is not None:
                raise error

    def report(self, stage: str, step: int = 0, *, pod: str = "yelp-1", preflight: bool = False, **others: Any) -> None:
        """A report that took a quarter of a second."""
        self._sequence += 1
        body = {"sequence": self._sequence, "stage": stage, "progress": {"step": step}, **others}
        self.traces.reported(
            Sender(self.uid, pod, preflight),
            Report.model_validate(body),
            at=at(self.time),
            took=0.25,
            attempts=lambda: self.status.attempts,
        )

    def spans(self) -> list[ReadableSpan]:
        """All that was exported, in the order in which it began."""
        self.exporter.close()
        exported = [span for memory in self.memories for span in memory.get_finished_spans()]
        return sorted(exported, key=lambda span: (span.start_time or 0, -(span.end_time or 0)))

    def told(self, *names: str) -> list[tuple[str, str | None, float, float]]:
        """Name, name of the parent, begin and end in seconds of each span; of those with these names, if any are given."""
        spans = self.spans()
        named = {span.context.span_id: span.name for span in spans}
        return [
            (
                span.name,
                None if span.parent is None else named.get(span.parent.span_id, "?"),
                seconds(span.start_time),
                seconds(span.end_time),
            )
            for span in spans
            if not names or span.name in names
        ]


def seconds(nanoseconds: int | None) -> float:
    assert nanoseconds is not None
    return (nanoseconds - int(START.timestamp()) * 10**9) / 1e9


def ready(reason: str) -> list[dict[str, Any]]:
    return [{"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": stamp(0)}]
