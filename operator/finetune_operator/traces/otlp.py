"""The way to a collector, by OpenTelemetry's SDK and its exporter. Nothing else imports them, and nobody imports this without need."""

import os
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.util.types import Attributes

from finetune_api.printable import printable
from finetune_operator.traces.span import Span, Value, mixed, span_id, trace_id

_LONGEST: Final = 256
"""Characters of an attribute."""
_CLOSE_SECONDS: Final = 3.0
_LATEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class OtlpExporter:
    """Hands spans to the SDK, whose thread sends them, and which drops the oldest where the collector does not keep up."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Raises what the SDK raises on variables that it cannot use.

        Args:
            exporter: Takes the spans, instead of the collector.
        """
        self._ids = _GivenIds()
        # A provider that is told of no sampler has that of the variables.
        sampler = _PerJob(TracerProvider(shutdown_on_exit=False).sampler)
        self._provider = TracerProvider(sampler, _resource(), shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("finetune_operator", version("finetune-operator"))

    def emit(self, span: Span) -> None:
        """Take a span, without waiting."""
        self._ids.trace, self._ids.span = trace_id(span.job), span_id(span.job, span.place)
        made = self._tracer.start_span(
            span.name,
            context=_parent(span),
            kind=trace.SpanKind[span.kind.upper()],
            attributes={name: _bounded(value) for name, value in span.attributes.items() if value is not None},
            start_time=_nanoseconds(span.start),
        )
        if span.failure is not None:
            made.set_status(trace.StatusCode.ERROR, printable(span.failure)[:_LONGEST])
        made.end(_nanoseconds(span.end))

    def close(self) -> None:
        """Send what is left, for a few seconds at the most: the SDK itself would wait for half a minute."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class _GivenIds(IdGenerator):
    """The ids of the span that is made next."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _PerJob(Sampler):
    """Asks a sampler as if for the root of the trace, whichever of its spans it is about, and by a number that is chance alone.

    A sampler by ratio takes the lower half of a trace's id for one, and that of a UUID begins with its variant: a ratio of a
    half would take no job, and one of three quarters all.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        return self._sampler.should_sample(None, mixed(trace_id), name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"PerJob({self._sampler.get_description()})"


def _resource() -> Resource:
    """Who sends: what the variables say, and else the operator's name, its version and its pod."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "finetune-operator"}
    return Resource.create(
        {"service.version": version("finetune-operator"), "service.instance.id": socket.gethostname(), **name}
    )


def _parent(span: Span) -> Context:
    """The context of the span's parent, which another process may have sent, or nobody yet."""
    if span.parent is None:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    parent = trace.SpanContext(trace_id(span.job), span_id(span.job, span.parent), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def _bounded(value: Value) -> Value:
    return printable(value)[:_LONGEST] if isinstance(value, str) else value


def _nanoseconds(moment: datetime) -> int:
    # What is more than 64 bits hold, in the year 2554, would cost all spans that are sent with it.
    return min(max(0, (moment - _EPOCH) // timedelta(microseconds=1) * 1000), _LATEST)
