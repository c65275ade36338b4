import asyncio
import base64
import http.client
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientResponse, ClientSession, TCPConnector
from kubernetes.aio.client import ApiClient
from tests.unit.finetune_operator.reports.conftest import token_of

from finetune_api.report import (
    ENV_CA_CERT,
    ENV_SERVER_URL,
    ENV_TOKEN,
    MAX_REPORT_BYTES,
    Report,
    ReportBody,
    TrainerStatus,
)
from finetune_api.status import MetricValue, Progress
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import Received, report_path
from finetune_operator.kube.client import Kube
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.metrics.instruments import REGISTRY
from finetune_operator.reports.certificates import Certificates
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.pod_owner import NotSeenYet
from finetune_operator.reports.server import BOUNDS, serve_reports
from finetune_operator.reports.serving import Server
from finetune_operator.reports.token_review import Caller
from finetune_operator.reports.troubles import Troubles

REPORT = {"report": {"sequence": 7, "stage": "Training", "progress": {"step": 140, "totalSteps": 375, "percent": 37}}}
JOB = Key("team-a", "yelp-stars")
TAKEN = {"nextReportSeconds": 2.0}
"""The answer to the first pod's report."""
NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Pods:
    """Which pods there are, by namespace, name and uid, and what they train."""

    def __init__(self) -> None:
        self.jobs = {Caller("team-a", "train-abc", "uid-of-train-abc"): JOB}
        self.behind = False

    def find(self, caller: Caller) -> Key | None:
        if self.behind:
            raise NotSeenYet
        return self.jobs.get(caller)


@dataclass
class Endpoint:
    """A running server, and a client that trusts it."""

    server: Server
    session: ClientSession
    trust: ssl.SSLContext
    pods: Pods
    received: list[Received]
    refused: list[tuple[Key, str]]
    troubles: Troubles

    @property
    def root(self) -> str:
        return f"https://localhost:{self.server.port}"

    async def post(self, token: str, *, job: Key = JOB, **request: Any) -> tuple[int, Any]:
        if "data" not in request:
            request.setdefault("json", REPORT)
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        return await answer(self.session.post(self.root + report_path(job), headers=headers, **request))

    async def send_raw(self, *parts: bytes) -> bytes:
        """What comes back until the server closes."""
        reader, writer = await asyncio.open_connection("localhost", self.server.port, ssl=self.trust)
        for part in parts:
            writer.write(part)
            await writer.drain()
        received = await reader.read()
        writer.close()
        return received


async def answer(request: Any) -> tuple[int, Any]:
    response: ClientResponse
    async with request as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


StartServer = Callable[..., Awaitable[Endpoint]]


@pytest.fixture
async def start(api_server: Any, client: ApiClient) -> AsyncIterator[StartServer]:
    endpoints: list[Endpoint] = []

    async def start_server(rate: RateLimit | None = None, bounds: Bounds = BOUNDS) -> Endpoint:
        certificates = Certificates(
            Kube(client, qps=1000, burst=1000), namespace="finetune", secret="reports-tls", hosts=["localhost"]
        )
        await certificates.refresh()
        pods, received, refused, troubles = Pods(), [], [], Troubles()
        server = await serve_reports(
            client=client,
            find_job=pods.find,
            on_report=received.append,
            on_refused=lambda *refusal: refused.append(refusal),
            context=certificates.context,
            host="127.0.0.1",
            port=0,
            troubles=troubles,
            per_second=80,
            interval=2,
            rate=rate,
            bounds=bounds,
        )
        trust = ssl.create_default_context(cadata=certificates.bundle)
        session = ClientSession(connector=TCPConnector(ssl=trust))
        endpoints.append(Endpoint(server, session, trust, pods, received, refused, troubles))
        return endpoints[-1]

    yield start_server
    for endpoint in endpoints:
        await endpoint.session.close()
        await endpoint.server.close()


@pytest.fixture
async def endpoint(start: StartServer) -> Endpoint:
    return await start()


def stripped(received: list[Received]) -> list[Received]:
    return [replace(each, time=NEVER, took=0.0) for each in received]


async def test_a_pod_s_report_for_its_own_job_is_taken(endpoint: Endpoint, api_server: Any) -> None:
    before = datetime.now(UTC)

    got = await endpoint.post(api_server.issue("train-abc"))

    assert got == (200, TAKEN)
    progress = Progress(step=140, total_steps=375, percent=37)
    body = ReportBody(report=Report(sequence=7, stage="Training", progress=progress))
    assert stripped(endpoint.received) == [Received(JOB, "train-abc", "uid-of-train-abc", body, NEVER)]
    assert before <= endpoint.received[0].time <= datetime.now(UTC)


async def test_what_stock_transformers_sends_is_taken(
    endpoint: Endpoint, api_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations.integration_utils import KubeflowCallback

    trusted = endpoint.trust.get_ca_certs(binary_form=True)
    (tmp_path / "ca.crt").write_text("".join(map(ssl.DER_cert_to_PEM_cert, trusted)))
    (tmp_path / "token").write_text(api_server.issue("train-abc"))
    monkeypatch.setenv(ENV_SERVER_URL, endpoint.root + report_path(JOB))
    monkeypatch.setenv(ENV_CA_CERT, str(tmp_path / "ca.crt"))
    monkeypatch.setenv(ENV_TOKEN, str(tmp_path / "token"))

    taken = await asyncio.to_thread(
        KubeflowCallback()._update_status, progress_percent=37, estimated_time_remaining=312, metrics={"loss": 1.25}
    )

    assert taken is True
    sent = endpoint.received[0].body.trainer_status
    assert sent == TrainerStatus(
        progress_percentage=37, estimated_remaining_seconds=312, metrics=[MetricValue(name="loss", value="1.25")]
    )


async def test_what_is_wrong_with_a_report_of_the_job_s_own_pod_is_reported_and_of_nobody_else_s(
    endpoint: Endpoint, api_server: Any
) -> None:
    checkpoint = {"step": 1, "uri": "pvc://c/x", "time": "0001-01-01T00:00:00+14:00"}
    wrong = {"report": {"sequence": 1, "stage": "Training", "checkpoints": [checkpoint]}}

    status, body = await endpoint.post(api_server.issue("train-abc"), json=wrong)
    stranger, _ = await endpoint.post(api_server.issue("train-abc"), json=wrong, job=Key("team-a", "other"))

    message = "must lie in the years 1970 to 8999"
    assert (status, body["fields"]) == (400, [{"field": "report.checkpoints[0].time", "message": message}])
    assert stranger == 403
    assert endpoint.refused == [(JOB, f"report.checkpoints[0].time: {message}")]
    assert endpoint.received == []


async def test_an_estimate_of_more_than_a_century_is_a_century(endpoint: Endpoint, api_server: Any) -> None:
    stock = {"trainerStatus": {"progressPercentage": 0, "estimatedRemainingSeconds": 10**12, "lastUpdatedTime": "?"}}

    assert await endpoint.post(api_server.issue("train-abc"), json=stock) == (200, TAKEN)

    sent = endpoint.received[0].body.trainer_status
    assert sent == TrainerStatus(progress_percentage=0, estimated_remaining_seconds=3_153_600_000)


@pytest.mark.parametrize("header", ["", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Token abc"])
async def test_without_a_bearer_token_nobody_is_asked(endpoint: Endpoint, api_server: Any, header: str) -> None:
    status, _ = await endpoint.post("", headers={"Authorization": header})

    assert (status, api_server.reviewed, endpoint.received) == (401, [], [])


@pytest.mark.parametrize(
    "token",
    [
        "header.e30.unknown",
        "opaque",
        "..",
        "\xe4\xf6\xfc.e30.x",
        "\udcff\udcfe.e30.x",
        "a.b c.d",
        "x" * 7000,
        f"{'x' * 2500}.{'y' * 2500}.z",
        f"h.{base64.urlsafe_b64encode(b'[' * 3000).decode()}.s",
        f"h.{base64.urlsafe_b64encode(bytes([0xFF, 0xFE])).decode()}.s",
    ],
    ids=range(10),
)
async def test_what_is_no_token_of_a_pod_is_refused_before_anybody_is_asked(
    endpoint: Endpoint, api_server: Any, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    head = request_head(token, "Content-Length: 0", encoding="utf-8")

    answered = await endpoint.send_raw(head)

    assert answered.startswith(b"HTTP/1.1 401")
    assert (api_server.reviewed, [each for each in caplog.records if each.levelno >= logging.WARNING]) == ([], [])


async def test_a_token_that_is_forged_or_expired_is_refused(endpoint: Endpoint, api_server: Any) -> None:
    status, body = await endpoint.post(token_of("train-abc"))

    assert (status, body) == (401, {"error": "the token is expired, unknown, or made for another audience"})
    assert len(api_server.reviewed) == 1


async def test_a_token_that_is_another_s_by_its_review_is_refused(endpoint: Endpoint, api_server: Any) -> None:
    stolen = token_of("train-abc")
    api_server.reviews[stolen] = api_server.reviews[api_server.issue("web-1")]

    assert (await endpoint.post(stolen))[0] == 401
    assert endpoint.received == []


async def test_a_token_for_another_audience_is_refused(endpoint: Endpoint, api_server: Any) -> None:
    status, _ = await endpoint.post(api_server.issue("train-abc", audience="https://kubernetes.default.svc"))

    assert (status, endpoint.received) == (401, [])


async def test_a_token_that_is_bound_to_no_pod_is_refused(endpoint: Endpoint, api_server: Any) -> None:
    private = base64.urlsafe_b64encode(b'{"kubernetes.io": {"namespace": "team-a"}}').decode().rstrip("=")

    assert await endpoint.post(f"h.{private}.s") == (403, {"error": "the token is bound to no pod"})
    assert api_server.reviewed == []


@pytest.mark.thorough
async def test_a_stranger_is_refused_without_a_request_to_the_api_server(endpoint: Endpoint, api_server: Any) -> None:
    tokens = [api_server.issue(f"web-{number}") for number in range(100)]

    statuses = {(await endpoint.post(token))[0] for token in tokens}

    assert (statuses, api_server.reviewed) == ({403}, [])


async def test_a_pod_that_is_not_known_yet_is_asked_to_come_again(endpoint: Endpoint, api_server: Any) -> None:
    token = api_server.issue("train-abc")
    endpoint.pods.behind = True

    headers = {"Authorization": f"Bearer {token}"}
    async with endpoint.session.post(endpoint.root + report_path(JOB), json=REPORT, headers=headers) as early:
        assert (early.status, early.headers["Retry-After"]) == (503, "2")
    endpoint.pods.behind = False

    assert (await endpoint.post(token))[0] == 200


@pytest.mark.parametrize(
    ("pod", "uid", "namespace", "job"),
    [
        pytest.param("train-abc", None, "team-a", Key("team-a", "other"), id="another job"),
        pytest.param("train-abc", None, "team-a", Key("team-b", "yelp-stars"), id="a job of that name elsewhere"),
        pytest.param("train-abc", None, "team-b", Key("team-a", "yelp-stars"), id="a pod of that name elsewhere"),
        pytest.param("train-abc", "old-uid", "team-a", Key("team-a", "yelp-stars"), id="an earlier pod of that name"),
        pytest.param("web-1", None, "team-a", Key("team-a", "yelp-stars"), id="a pod of no job"),
    ],
)
async def test_a_pod_reports_for_no_job_but_its_own(
    endpoint: Endpoint, api_server: Any, pod: str, uid: str | None, namespace: str, job: Key
) -> None:
    status, body = await endpoint.post(api_server.issue(pod, namespace, uid=uid), job=job)

    assert (status, body) == (
        403,
        {"error": "a pod may report for its own FineTuneJob only, and of many pods the first"},
    )
    assert endpoint.received == []


@pytest.mark.parametrize(
    ("body", "error", "fields"),
    [
        ('{"report": {"stage": "Training"}}', "not a report", ["report.sequence"]),
        (
            '{"report": {"sequence": 1, "stage": "Dancing", "metrics": [{"name": "loss", "value": 1.5}]}}',
            "not a report",
            ["report.metrics[0].value", "report.stage"],
        ),
        ('{"trainerStatus": {"progressPercentage": 101}}', "not a report", ["trainerStatus.progressPercentage"]),
        ("[1, 2]", "not a report", [""]),
        ("{", "not a report", [""]),
        ("[" * 5000, "not a report", [""]),
        ("\xff\xfe", "not a report", [""]),
        ('{"report": null}', "needs report or trainerStatus", None),
        ("{}", "needs report or trainerStatus", None),
    ],
)
async def test_what_is_not_a_report_is_refused_by_field(
    endpoint: Endpoint, api_server: Any, body: str, error: str, fields: list[str] | None
) -> None:
    status, answered = await endpoint.post(api_server.issue("train-abc"), data=body.encode("latin-1"))

    named = [each["field"] for each in answered["fields"]] if "fields" in answered else None
    assert (status, answered["error"], named, endpoint.received) == (400, error, fields, [])


async def test_a_body_above_64_kib_is_refused_whole_or_in_chunks(endpoint: Endpoint, api_server: Any) -> None:
    token = api_server.issue("train-abc")
    large = b" " * (MAX_REPORT_BYTES + 1)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield large[:4096]

    statuses = [(await endpoint.post(token, data=body))[0] for body in (large, chunks())]

    assert (statuses, endpoint.received) == ([413, 413], [])


async def test_a_compressed_body_is_not_unpacked(endpoint: Endpoint, api_server: Any) -> None:
    status, _ = await endpoint.post(api_server.issue("train-abc"), json=REPORT, compress="gzip")

    assert status == 400


async def test_elsewhere_there_is_nothing(endpoint: Endpoint) -> None:
    paths = ["/", "/reports", report_path(JOB) + "/", report_path(Key("a/b", "c"))]

    statuses = [(await answer(endpoint.session.post(endpoint.root + path)))[0] for path in paths]
    get = await answer(endpoint.session.get(endpoint.root + report_path(JOB)))

    assert (statuses, get[0]) == ([404] * 4, 405)


async def test_a_pod_that_reports_too_often_is_told_when_to_come_back(start: StartServer, api_server: Any) -> None:
    endpoint = await start(RateLimit(per_second=0.1, burst=2))
    endpoint.pods.jobs[Caller("team-a", "other", "uid-of-other")] = JOB
    token = api_server.issue("train-abc")
    headers = {"Authorization": f"Bearer {token}"}

    statuses = [(await endpoint.post(token))[0] for _ in range(2)]
    async with endpoint.session.post(endpoint.root + report_path(JOB), json=REPORT, headers=headers) as refused:
        retry_after = int(refused.headers["Retry-After"])

    assert (statuses, refused.status, len(endpoint.received)) == ([200, 200], 429, 2)
    assert 1 <= retry_after <= 10
    assert (await endpoint.post(api_server.issue("other")))[0] == 200


def reports(answer: str) -> float:
    return REGISTRY.get_sample_value("finetune_reports_total", {"answer": answer}) or 0.0


@pytest.mark.thorough
async def test_a_flood_of_wrong_tokens_does_not_reach_the_api_server(endpoint: Endpoint, api_server: Any) -> None:
    good = api_server.issue("train-abc")
    await endpoint.post(good)
    before = reports("too_many_tokens")

    forged = [token_of("train-abc", signature=f"forged-{number}") for number in range(100)]
    statuses = {(await endpoint.post(token))[0] for token in forged}

    assert statuses == {401, 429}
    assert reports("too_many_tokens") - before == 101 - len(api_server.reviewed)
    assert len(api_server.reviewed) < 100
    assert (await endpoint.post(good))[0] == 200


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_api_server_that_cannot_answer_is_no_fault_of_the_pod(
    endpoint: Endpoint, api_server: Any, status: int
) -> None:
    api_server.failing = status
    token = api_server.issue("train-abc")

    async with endpoint.session.post(
        endpoint.root + report_path(JOB), json=REPORT, headers={"Authorization": f"Bearer {token}"}
    ) as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")

    api_server.failing = None
    assert (await endpoint.post(token))[0] == 200


async def test_what_nobody_thought_of_is_an_answer_and_a_line_in_the_log_without_a_traceback(
    endpoint: Endpoint, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.pods.jobs = None  # type: ignore[assignment]

    status, body = await endpoint.post(api_server.issue("train-abc"))

    assert (status, body) == (500, {"error": "the request could not be handled"})
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.exc_info is None
    assert "AttributeError at " in record.getMessage()


def request_head(token: str, *lines: str, encoding: str = "ascii") -> bytes:
    head = [f"POST {report_path(JOB)} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}", *lines]
    return "\r\n".join([*head, "", ""]).encode(encoding, "surrogateescape")


async def test_who_hangs_up_within_a_report_is_counted_and_not_logged(
    endpoint: Endpoint, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    head = request_head(api_server.issue("train-abc"), "Content-Length: 100")
    before = REGISTRY.get_sample_value("finetune_reports_total", {"answer": "not_a_report"}) or 0

    _, writer = await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust)
    writer.write(head + b"{")
    await writer.drain()
    await api_server.asked.wait()
    writer.transport.abort()
    async with asyncio.timeout(60):
        while REGISTRY.get_sample_value("finetune_reports_total", {"answer": "not_a_report"}) in (None, before):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert endpoint.received == []


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(
    endpoint: Endpoint, api_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.reports.server._BODY_TIMEOUT_SECONDS", 0.05)
    head = request_head(api_server.issue("train-abc"), "Content-Length: 100", "Connection: close")

    got = await endpoint.send_raw(head, b"{")

    assert got.startswith(b"HTTP/1.1 408")


async def test_headers_that_do_not_come_are_waited_for_only_so_long(start: StartServer) -> None:
    endpoint = await start(bounds=Bounds(total=4, per_address=4, patience_seconds=1.0))

    got = await endpoint.send_raw(b"POST / HTTP/1.1\r\nHost: local")

    assert got == b""


async def test_idle_connections_of_others_do_not_shut_out_a_pod(start: StartServer, api_server: Any) -> None:
    endpoint = await start(bounds=Bounds(total=4, per_address=4))
    idle = [await asyncio.open_connection("localhost", endpoint.server.port) for _ in range(3)]
    idle += [await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust) for _ in range(3)]

    status, _ = await endpoint.post(api_server.issue("train-abc"))

    assert status == 200
    for _, writer in idle:
        writer.close()


async def test_reports_share_a_connection_and_a_refusal_ends_it(endpoint: Endpoint, api_server: Any) -> None:
    body = json.dumps(REPORT).encode()
    report = request_head(api_server.issue("train-abc"), f"Content-Length: {len(body)}") + body
    refused = request_head("opaque", f"Content-Length: {len(body)}") + body

    answered = await endpoint.send_raw(report, report, refused, report)

    assert re.findall(rb"HTTP/1.1 (\d+)", answered) == [b"200", b"200", b"401"]
    assert len(endpoint.received) == 2


async def test_the_connection_of_a_sender_that_wants_it_closed_is_closed(endpoint: Endpoint, api_server: Any) -> None:
    body = json.dumps(REPORT).encode()
    head = request_head(api_server.issue("train-abc"), f"Content-Length: {len(body)}", "Connection: close")

    answered = await endpoint.send_raw(head + body)

    assert answered.startswith(b"HTTP/1.1 200")


async def test_no_crowd_of_strangers_takes_the_connection_of_a_pod_that_reports(
    start: StartServer, api_server: Any
) -> None:
    endpoint = await start(bounds=Bounds(total=6, per_address=6, kept=0.5))
    body = json.dumps(REPORT).encode()
    report = request_head(api_server.issue("train-abc"), f"Content-Length: {len(body)}") + body
    reader, writer = await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust)
    writer.write(report)
    first = await reader.readuntil(b"}")
    crowd = [await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust) for _ in range(12)]

    writer.write(report)
    second = await reader.readuntil(b"}")

    assert [each.split(b" ", 2)[1] for each in (first, second)] == [b"200", b"200"]
    for _, other in [(reader, writer), *crowd]:
        other.close()


async def test_only_a_share_of_the_connections_stays_open_so_that_there_is_room_for_others(
    start: StartServer, api_server: Any
) -> None:
    endpoint = await start(bounds=Bounds(total=4, per_address=4, kept=0.5))
    body = json.dumps(REPORT).encode()
    report = request_head(api_server.issue("train-abc"), f"Content-Length: {len(body)}") + body
    answers, writers = [], []

    for _ in range(4):
        reader, writer = await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust)
        writer.write(report)
        answers.append(await reader.readuntil(b"}"))
        writers.append(writer)

    assert [b"Connection: close" in each for each in answers] == [False, False, True, True]
    for writer in writers:
        writer.close()


async def test_what_a_pod_s_connections_came_to_nothing_of_is_remembered_until_a_report_is_taken(
    endpoint: Endpoint, api_server: Any
) -> None:
    said = [endpoint.troubles.about("127.0.0.1")]
    foreign = ssl.create_default_context(cadata=trustme.CA().cert_pem.bytes().decode())
    stranger = http.client.HTTPSConnection("localhost", endpoint.server.port, context=foreign)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.to_thread(stranger.connect)
    for _ in range(500):  # The alert is on its way.
        await asyncio.sleep(0 if endpoint.troubles.about("127.0.0.1") else 0.01)
    said.append(endpoint.troubles.about("127.0.0.1"))
    await endpoint.post("opaque")
    said.append(endpoint.troubles.about("127.0.0.1"))
    await endpoint.post(api_server.issue("train-abc"))
    said.append(endpoint.troubles.about("127.0.0.1"))

    assert said == [
        "",
        "its last connection failed in the TLS handshake (TLSV1_ALERT_UNKNOWN_CA)",
        "its last report was refused with 401 (bad token)",
        "",
    ]


async def test_each_answer_is_counted(endpoint: Endpoint, api_server: Any) -> None:
    names = ("taken", "not_a_report", "bad_token", "not_its_pod", "unknown_pod")

    def counts() -> list[float]:
        return [REGISTRY.get_sample_value("finetune_reports_total", {"answer": name}) or 0.0 for name in names]

    before = counts()
    await endpoint.post(api_server.issue("train-abc"))
    await endpoint.post(api_server.issue("train-abc"), data=b"{")
    await endpoint.post("opaque")
    await endpoint.post(api_server.issue("train-abc"), job=Key("team-a", "other"))
    endpoint.pods.behind = True
    await endpoint.post(api_server.issue("train-abc"))

    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1.0] * 5


async def test_a_namespace_has_only_so_many_bodies_under_way(
    endpoint: Endpoint, api_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.reports.server._AT_ONCE", 1)
    endpoint.pods.jobs[Caller("team-a", "other", "uid-of-other")] = JOB
    token = api_server.issue("train-abc")
    await endpoint.post(token)
    reader, writer = await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust)
    writer.write(request_head(token, "Content-Length: 100", "Expect: 100-continue"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 100")
    await asyncio.sleep(0)

    refused, _ = await endpoint.post(api_server.issue("other"))
    writer.close()

    assert refused == 429


async def test_nothing_of_a_token_is_ever_logged(
    endpoint: Endpoint, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = token_of("train-abc", signature="very-secret")
    token = api_server.issue("train-abc")

    await endpoint.post(secret)
    await endpoint.post(token, job=Key("team-a", "other"))
    await endpoint.post(token, data=b"{")
    await endpoint.send_raw(request_head(f"{secret}\x00", "Connection: close"))
    await endpoint.send_raw(f"{secret}\r\n\r\n".encode())
    api_server.failing = 500
    await endpoint.post(f"{secret}-2")

    assert caplog.records
    signature = token.rpartition(".")[2]
    assert [each for each in ("very-secret", signature) if each in caplog.text] == []
