"""Senders that are slow, idle, many or too eager, or hang up, keep no pod from reporting."""

import asyncio
import http.client
import json
import logging
import re
import ssl
from typing import Any

import pytest
import trustme
from tests.unit.finetune_operator.reports.report_server import JOB, REPORT, Endpoint, StartServer, request_head

from finetune_operator.job.report import report_path
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.metrics.instruments import REGISTRY
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.token_review import Caller


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
