"""Reports over HTTPS: they arrive, follow renewed files, survive an outage, and never harm the run."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from finetune_api.report import ENV_CA_CERT, ENV_SERVER_URL, ENV_TOKEN, ReportBody
from finetune_trainer.progress.reporter import Endpoint, Reporter, pause
from finetune_trainer.progress.state import RunState


@dataclass
class Operator:
    """A stand-in for the operator's endpoint."""

    url: str = ""
    answer: int = 200
    received: list[tuple[str, ReportBody]] = field(default_factory=list)
    """Authorization header and body."""
    refused: int = 0


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    told = Operator()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = ReportBody.model_validate_json(self.rfile.read(int(self.headers["Content-Length"])))
            if told.answer == 200:
                told.received.append((self.headers["Authorization"], body))
            else:
                told.refused += 1
            self.send_response(told.answer)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"https://127.0.0.1:{server.server_port}/reports"
    monkeypatch.setenv(ENV_SERVER_URL, told.url)
    monkeypatch.setenv(ENV_CA_CERT, str(tmp_path / "ca.crt"))
    monkeypatch.setenv(ENV_TOKEN, str(tmp_path / "token"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def stages(operator: Operator) -> list[str]:
    return [body.report.stage for _, body in operator.received if body.report]


def test_the_newest_state_arrives_and_the_token_is_read_anew(operator: Operator, tmp_path: Path) -> None:
    state = RunState()
    reporter = Reporter(state, Endpoint.from_environment(), 0.01)
    state.stage("Preparing", "starting")
    reporter.start()
    until(lambda: operator.received)
    (tmp_path / "token").write_text("second\n")
    state.set_metrics({"loss": 0.5})
    until(lambda: operator.received[-1][1].report.metrics)
    state.stage("Finished")
    reporter.finish()

    assert operator.received[0][0] == "Bearer first"
    assert operator.received[-1][0] == "Bearer second"
    assert (stages(operator)[0], stages(operator)[-1]) == ("Preparing", "Finished")
    sequences = [body.report.sequence for _, body in operator.received if body.report]
    assert sequences == sorted(set(sequences))


def test_after_an_outage_the_newest_state_arrives(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")
    state = RunState()
    operator.answer = 503
    reporter = Reporter(state, Endpoint.from_environment(), 0.01)
    reporter.start()
    until(lambda: operator.refused >= 2)
    state.set_metrics({"loss": 0.25})
    operator.answer = 200
    until(lambda: operator.received)
    reporter.finish()

    report = operator.received[-1][1].report
    assert report is not None
    assert [(metric.name, metric.value) for metric in report.metrics] == [("loss", "0.25")]
    assert [record.message.split(":")[0].split(" after")[0] for record in caplog.records] == [
        "reports do not arrive, training goes on",
        "reports arrive again",
    ]


def test_an_operator_that_never_answers_costs_the_end_a_few_seconds_at_most(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.progress.reporter.FLUSH_SECONDS", 0.2)
    operator.answer = 500
    reporter = Reporter(RunState(), Endpoint.from_environment(), 0.01)
    reporter.start()
    until(lambda: operator.refused)

    reporter.finish()

    assert operator.received == []


def test_pauses_grow_with_the_failures_up_to_a_minute_however_long_an_outage_lasts() -> None:
    after = [pause(5.0, failures) for failures in (0, 1, 2, 3, 4, 5000)]

    assert [shortest for shortest, _ in after] == [5.0] * 6
    assert [longest for _, longest in after] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert pause(120.0, 3) == (120.0, 120.0)


def test_a_foreign_certificate_is_not_trusted(operator: Operator, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    endpoint = Endpoint.from_environment()
    assert endpoint is not None

    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        endpoint.post(json.dumps({}).encode(), 5)


def test_on_a_laptop_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_SERVER_URL, raising=False)

    before = set(threading.enumerate())

    reporter = Reporter(RunState(), Endpoint.from_environment(), 1)
    reporter.start()
    started = set(threading.enumerate()) - before
    reporter.finish()

    assert (Endpoint.from_environment(), started) == (None, set())
