"""Whatever comes over the wire, and whatever a pod that may report sends: an answer, no traceback, and the others go on."""

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_any_object import SCHEMA
from tests.unit.finetune_operator.hostile import bodies, final_words
from tests.unit.finetune_operator.reports.conftest import token_of
from tests.unit.finetune_operator.reports.report_server import JOB, StartServer, request_head
from tests.unit.finetune_operator.samples import at, by_pod, finetunejob, job, pod, running, terminated

from devcluster.apiserver.schemas.validation import validate
from finetune_operator.job.finetunejob import Key, parse_finetunejob
from finetune_operator.job.observation import Observation
from finetune_operator.job.parse_children import parse_job, parse_pods
from finetune_operator.job.report import NotAReport, Received, parse_body, report_path
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.reports.server import BOUNDS
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute

PATH = report_path(JOB).encode()
REQUESTS = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe\xfd\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT attacker:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"P\xc3\x96ST / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST http://attacker/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST //[ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST /%zz%00%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b"?a=%ff&b=\xf0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b"/../../x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST " + b"/a" * 5000 + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\n\xff\xfe: x\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: [\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b;" * 1500 + b"\r\nContent-Length: 0\r\n\r\n",
    b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\nContent-Type: ;;\xff\r\nContent-Length: 0\r\n\r\n",
    b"".join([b"POST ", PATH, b" HTTP/1.1\r\n", *[b"X-%d: y\r\n" % number for number in range(500)], b"\r\n"]),
]
TOKENS = [
    "",
    "\udcff\udcfe",
    "ä.ö.ü",
    "a" * 8000,
    "..",
    "a.b.c",
    "a.\udcff.c",
    token_of("train-abc", "team-a\x00"),
    token_of("../..", "team-a/.."),
    token_of("\u202e", "\ud800"),
]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Tracebacks in the log, and what fails in tasks that nobody waits for."""
    assert all(line.isprintable() for line in caplog.text.splitlines())
    return [each.getMessage() for each in caplog.records if each.exc_info or each.name == "asyncio"]


@pytest.mark.thorough
async def test_any_request_is_answered_or_its_connection_closed(
    start: StartServer, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = await start(bounds=replace(BOUNDS, patience_seconds=1.0))
    heads = [request_head(token, "Content-Length: 0", encoding="utf-8") for token in TOKENS]
    good = api_server.issue("train-abc")
    answers = []

    for request in [*REQUESTS, *heads]:
        reader, writer = await asyncio.open_connection("localhost", endpoint.server.port, ssl=endpoint.trust)
        writer.write(request)
        try:
            answers.append(await asyncio.wait_for(reader.read(), 60) if request else b"")
        except ConnectionError:
            answers.append(b"")
        writer.close()

    statuses = {answer.split(b" ", 2)[1] for answer in answers if answer}
    assert statuses <= {b"400", b"401", b"403", b"404", b"405", b"413", b"417"}
    assert complaints(caplog) == []
    assert (await endpoint.post(good))[0] == 200


@pytest.mark.slow
async def test_any_report_of_a_pod_that_may_report_is_taken_or_refused_by_field(
    start: StartServer, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = await start(RateLimit(per_second=1000, burst=1000))
    token = api_server.issue("train-abc")

    answers = [await endpoint.post(token, data=body) for body in bodies(seed=1, count=150)]

    assert {status for status, _ in answers} - {413} == {200, 400}
    assert all(body["error"] for status, body in answers if status != 200)
    assert len(endpoint.received) == sum(status == 200 for status, _ in answers)
    assert complaints(caplog) == []


SEEDS = [
    *range(4),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24)),
    *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(24, 134)),
]
"""Of 150 reports and final reports each: 3,600 in CI, 20,000 in `make chaos`."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_any_report_and_any_final_report_give_a_status_that_the_api_server_takes(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = None
    for number, (sent, word) in enumerate(zip(bodies(seed, 150), final_words(seed, 150), strict=True)):
        end = (None, ("Complete", "", ""), ("Failed", "BackoffLimitExceeded", ""))[number % 3]
        raw_pods = [pod(state=terminated(14, message=word)), pod(2, state=running())]
        observed = Observation(job=parse_job(job(end=end)), pods=parse_pods(raw_pods, taken(sent)))
        given = parse_finetunejob(finetunejob(before))

        status = compute(given, observed, at(60)).status

        written = json.loads(json.dumps(to_manifest(status)))
        assert validate(written, SCHEMA["status"]) == []
        assert to_manifest(parse_finetunejob(finetunejob(written)).status) == written
        assert status.phase == {None: status.phase, "Complete": "Succeeded", "Failed": "Failed"}[end and end[0]]
        assert all(each.isprintable() for each in json.dumps(written, ensure_ascii=False))
        before = written if status.phase == "Running" else None
    # Nothing had to be left out as a whole because computing the status failed over it.
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def taken(body: bytes) -> dict[str, Received]:
    """The report in a body, as that of the second pod; none where the server refuses it."""
    try:
        return by_pod(Received(Key("team-a", "yelp"), "yelp-2", "pod-2", parse_body(body), at(50)))
    except NotAReport:
        return {}
