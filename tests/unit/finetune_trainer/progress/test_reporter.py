"""Reports over HTTPS: they arrive over one connection, follow renewed files, survive an outage, and never harm the run."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from finetune_api.reasons import Reason
from finetune_api.report import ENV_CA_CERT, ENV_SERVER_URL, ENV_TOKEN, ReportAnswer, ReportBody
from finetune_api.status import RunWarning
from finetune_trainer.progress.endpoint import Endpoint
from finetune_trainer.progress.reporter import Reporter, pause
from finetune_trainer.progress.state import RunState

REPORT = b'{"report": {"sequence": 1, "stage": "Training"}}'


@dataclass
class Operator:
    """A stand-in for the operator's endpoint."""

    url: str = ""
    answer: int = 200
    next_report_seconds: float | None = None
    """What it asks for; an operator of before asks for nothing."""
    connections: int = 0
    hang_up: bool = False
    """Close each connection after a report without a word, as one that was idle for too long."""
    received: list[tuple[str, ReportBody]] = field(default_factory=list)
    """Authorization header and body."""
    refused: int = 0


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    told = Operator()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer is written in two pieces

        def setup(self) -> None:
            told.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = ReportBody.model_validate_json(self.rfile.read(int(self.headers["Content-Length"])))
            if told.answer == 200:
                told.received.append((self.headers["Authorization"], body))
            else:
                told.refused += 1
            asked = {} if told.next_report_seconds is None else {"nextReportSeconds": told.next_report_seconds}
            answer = json.dumps(asked).encode()
            self.send_response(told.answer)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = told.hang_up

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


@pytest.fixture
def short_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.progress.reporter.FLUSH_SECONDS", 0.2)


def until(true: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def reporting(state: RunState, interval: float = 0.01, on_disowned: Callable[[], None] = lambda: None) -> Reporter:
    reporter = Reporter(state, Endpoint.from_environment(), interval, on_disowned)
    reporter.start()
    return reporter


def stages(operator: Operator) -> list[str]:
    return [body.report.stage for _, body in operator.received if body.report]


def test_the_newest_state_arrives_and_the_token_is_read_anew(operator: Operator, tmp_path: Path) -> None:
    state = RunState()
    state.stage("Preparing", "starting")
    reporter = reporting(state)
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
    reporter = reporting(state)
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


@pytest.mark.usefixtures("short_flush")
def test_an_operator_that_never_answers_costs_the_end_a_few_seconds_at_most(operator: Operator) -> None:
    operator.answer = 500
    reporter = reporting(RunState())
    until(lambda: operator.refused)

    reporter.finish()

    assert operator.received == []


def test_reports_share_one_connection_until_what_is_trusted_changes(operator: Operator, tmp_path: Path) -> None:
    endpoint = Endpoint.from_environment()
    assert endpoint is not None
    for number in range(3):
        (tmp_path / "token").write_text(f"token-{number}")
        endpoint.post(REPORT, 5)
    before = operator.connections
    more = (tmp_path / "ca.crt").read_text() + trustme.CA().cert_pem.bytes().decode()
    (tmp_path / "ca.crt").write_text(more)

    endpoint.post(REPORT, 5)
    endpoint.post(REPORT, 5)
    endpoint.close()

    assert [token for token, _ in operator.received[:3]] == ["Bearer token-0", "Bearer token-1", "Bearer token-2"]
    assert (before, operator.connections) == (1, 2)


def test_a_connection_that_the_other_side_has_closed_is_made_anew_and_nothing_is_lost(operator: Operator) -> None:
    endpoint = Endpoint.from_environment()
    assert endpoint is not None
    operator.hang_up = True

    for _ in range(3):
        endpoint.post(REPORT, 5)
    endpoint.close()

    assert (len(operator.received), operator.connections) == (3, 3)


def test_the_operator_says_when_the_next_report_is_due_and_a_new_phase_does_not_wait_for_it(operator: Operator) -> None:
    operator.next_report_seconds = 45
    state = RunState()
    reporter = reporting(state)
    until(lambda: operator.received)
    for step in range(20):
        state.set_metrics({"loss": float(step)})
        time.sleep(0.002)
    state.stage("Training")
    until(lambda: len(operator.received) == 2)
    state.set_metrics({"loss": 20.0})
    reporter.finish()

    losses = [[each.value for each in body.report.metrics] for _, body in operator.received if body.report]
    assert losses == [[], ["19"], ["20"]]


def test_what_an_operator_asks_for_in_words_of_its_own_is_ignored(operator: Operator) -> None:
    operator.next_report_seconds = 1e9
    endpoint = Endpoint.from_environment()
    assert endpoint is not None

    assert endpoint.post(REPORT, 5) == ReportAnswer()
    endpoint.close()


@pytest.mark.usefixtures("short_flush")
@pytest.mark.parametrize("status", [403, 410])
def test_a_pod_that_is_not_the_job_s_any_more_is_told_once_it_had_been(operator: Operator, status: int) -> None:
    disowned, state = threading.Event(), RunState()
    reporter = reporting(state, on_disowned=disowned.set)
    until(lambda: operator.received)
    operator.answer = status
    state.set_metrics({"loss": 0.5})

    until(disowned.is_set)

    reporter.finish()


@pytest.mark.usefixtures("short_flush")
@pytest.mark.parametrize(("before", "status"), [(401, 403), (200, 401), (200, 404), (200, 429), (200, 503)])
def test_any_other_refusal_is_no_reason_to_stop(operator: Operator, before: int, status: int) -> None:
    disowned, state = threading.Event(), RunState()
    operator.answer = before
    reporter = reporting(state, on_disowned=disowned.set)
    until(lambda: operator.received or operator.refused)
    seen, operator.answer = operator.refused, status
    state.set_metrics({"loss": 0.5})
    until(lambda: operator.refused > seen + 1)

    reporter.finish()

    assert not disowned.is_set()


def test_the_final_report_says_why_reports_do_not_arrive_unless_they_do_in_the_end(operator: Operator) -> None:
    state = RunState()
    operator.answer = 401
    reporter = reporting(state)
    until(lambda: operator.refused)
    until(lambda: state.undelivered)
    missing = state.final(1, None).warnings
    operator.answer = 200
    until(lambda: operator.received)
    reporter.finish()

    message = "the operator does not accept the pod's token (401)"
    assert missing == [RunWarning(reason=Reason.REPORTS_MISSING, message=message)]
    assert state.final(1, None).warnings == []


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
        endpoint.post(REPORT, 5)


def test_on_a_laptop_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_SERVER_URL, raising=False)

    before = set(threading.enumerate())

    reporter = reporting(RunState(), 1)
    started = set(threading.enumerate()) - before
    reporter.finish()

    assert (Endpoint.from_environment(), started) == (None, set())
