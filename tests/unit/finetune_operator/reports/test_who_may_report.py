"""A pod reports for its own job, by a token of its own, and nobody else does."""

import base64
import logging
from typing import Any

import pytest
from tests.unit.finetune_operator.reports.conftest import token_of
from tests.unit.finetune_operator.reports.report_server import JOB, REPORT, Endpoint, request_head

from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import report_path
from finetune_operator.metrics.instruments import REGISTRY


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
