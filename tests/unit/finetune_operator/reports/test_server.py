"""What a pod reports is taken or refused, with an answer that says why."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune_operator.reports.conftest import token_of
from tests.unit.finetune_operator.reports.report_server import JOB, REPORT, TAKEN, Endpoint, answer, request_head

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
from finetune_operator.metrics.instruments import REGISTRY

NEVER = datetime(1, 1, 1, tzinfo=UTC)


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
