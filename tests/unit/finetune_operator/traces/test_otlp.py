"""Spans reach a collector as OTLP over HTTP, under ids that follow from the job, and a collector that is away costs nothing else."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.otlp_collector import Collector, collecting, values
from tests.unit.finetune_operator.samples import UID, at

from finetune_operator.traces.otlp import OtlpExporter
from finetune_operator.traces.span import JOB, Span, span_id
from finetune_operator.traces.switch import start_exporter

REQUEST = Span(UID, "create jobs", ("request", "1"), JOB, at(1), at(2.5), {"code": 409, "none": None}, "client", "409")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
        yield started


def test_a_span_reaches_the_collector_that_the_variables_name(collector: Collector) -> None:
    exporter = start_exporter()
    assert exporter is not None
    exporter.emit(REQUEST)
    exporter.emit(Span(UID, "FineTuneJob", JOB, None, at(0), at(9)))
    exporter.close()

    job, request = collector.trace(UID)
    assert (job.name, job.parent_span_id, job.kind) == ("FineTuneJob", b"", OtlpSpan.SPAN_KIND_INTERNAL)
    assert (request.name, request.parent_span_id, request.kind) == (
        "create jobs",
        job.span_id,
        OtlpSpan.SPAN_KIND_CLIENT,
    )
    assert (request.status.code, request.status.message) == (Status.STATUS_CODE_ERROR, "409")
    assert values(request.attributes) == {"code": 409}
    assert request.end_time_unix_nano - request.start_time_unix_nano == 1_500_000_000
    assert collector.resource()["service.name"] == "finetune-operator"


def test_the_variables_name_the_service_and_take_what_a_collector_asks_for(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tuner")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    exporter = OtlpExporter()
    exporter.emit(REQUEST)
    exporter.close()

    assert len(collector.spans()) == 1
    resource = collector.resource()
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("tuner", "prod")


def test_a_span_of_a_far_year_costs_no_other_that_is_sent_with_it(collector: Collector) -> None:
    exporter, far = OtlpExporter(), datetime(8999, 1, 1, tzinfo=UTC)
    exporter.emit(REQUEST)
    exporter.emit(Span(UID, "attempt", ("attempt", "yelp-1"), JOB, far, far))
    exporter.close()

    assert {span.name for span in collector.spans()} == {"create jobs", "attempt"}


def test_the_same_span_has_the_same_id_whoever_sends_it() -> None:
    assert span_id(UID, ("attempt", "yelp-1")) == span_id(UID, ("attempt", "yelp-1"))
    assert len({span_id(UID, place) for place in (JOB, ("attempt", "yelp-1"), ("attempt", "yelp-2"))}) == 3
    assert span_id(UID, JOB) != span_id(str(uuid.UUID(int=1)), JOB)


def test_a_uid_that_is_no_uuid_has_a_trace_too() -> None:
    memory = InMemorySpanExporter()
    exporter = OtlpExporter(memory)
    exporter.emit(Span("not-a-uuid", "FineTuneJob", JOB, None, at(0), at(9)))
    exporter.close()

    assert [span.context.is_valid for span in memory.get_finished_spans()] == [True]


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_share_of_the_jobs_is_traced_and_each_of_them_as_a_whole(
    sampler: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the uids themselves a share below a half would be none: they begin their lower half with the variant of a UUID."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", str(share))
    memory = InMemorySpanExporter()
    exporter = OtlpExporter(memory)
    uids = [str(uuid.uuid5(uuid.UUID(UID), str(number))) for number in range(400)]
    for uid in uids:
        exporter.emit(Span(uid, "attempt", ("attempt", "x"), JOB, at(0), at(9)))
        exporter.emit(Span(uid, "FineTuneJob", JOB, None, at(0), at(9)))
    exporter.close()

    exported = memory.get_finished_spans()
    jobs, attempts = ({s.context.trace_id for s in exported if s.name == name} for name in ("FineTuneJob", "attempt"))
    assert jobs == attempts
    assert abs(len(jobs) - share * len(uids)) < 40


def test_what_strangers_wrote_is_bounded_and_printable() -> None:
    memory = InMemorySpanExporter()
    exporter = OtlpExporter(memory)
    hostile = "\x1b[31m" + "x" * 10_000 + "\u202e"
    exporter.emit(Span(UID, "attempt", ("attempt", hostile), JOB, at(0), at(9), {"pod": hostile}, failure=hostile))
    exporter.close()

    (span,) = memory.get_finished_spans()
    assert dict(span.attributes or {}) == {"pod": "x" * 256}
    assert span.status.description == "x" * 256


@pytest.mark.thorough
def test_a_collector_that_is_away_costs_its_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more spans than the queue holds; they are taken, close() returns, and nothing is raised."""
    with collecting() as gone:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", gone.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    exporter = OtlpExporter()
    for number in range(5000):
        exporter.emit(Span(UID, "report", ("report", str(number)), JOB, at(0), at(1)))
    queue = exporter._provider._active_span_processor._span_processors[0]._batch_processor._queue  # type: ignore[attr-defined]

    assert len(queue) <= queue.maxlen == 2048
    exporter.close()
