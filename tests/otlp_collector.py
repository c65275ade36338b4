"""A collector of OpenTelemetry as far as an exporter meets one: OTLP over HTTP, as protobuf, which it keeps."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """What was exported to `url`."""

    url: str
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def spans(self) -> list[Span]:
        """All spans, in the order in which they came."""
        with self.changed:
            return [
                span
                for request in self.requests
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]

    def trace(self, uid: str) -> list[Span]:
        """The spans of a job, by its uid, in the order in which they began."""
        wanted = bytes.fromhex(uid.replace("-", ""))
        return sorted(
            (span for span in self.spans() if span.trace_id == wanted), key=lambda span: span.start_time_unix_nano
        )

    def resource(self) -> dict[str, Any]:
        """Who sent the first request."""
        with self.changed:
            return values(self.requests[0].resource_spans[0].resource.attributes)


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                with collector.changed:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                    collector.changed.notify_all()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield collector
        finally:
            server.shutdown()
            serving.join()
