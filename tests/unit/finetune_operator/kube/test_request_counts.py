"""Every request to the API is counted under its verb and resource, one without an answer too."""

from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.finetune_operator.metrics.scrape import added, samples
from yarl import URL

from finetune_operator.kube.request_counts import counting, request_labels
from finetune_operator.traces.passes import Pass, under_way

JOBS = "https://api:6443/apis/batch/v1"


@pytest.mark.parametrize(
    ("method", "url", "labels"),
    [
        ("GET", f"{JOBS}/jobs?limit=100&labelSelector=a", ("list", "jobs")),
        ("GET", f"{JOBS}/namespaces/team-a/jobs?watch=true", ("watch", "jobs")),
        ("GET", f"{JOBS}/namespaces/team-a/jobs/yelp", ("get", "jobs")),
        ("POST", f"{JOBS}/namespaces/team-a/jobs?fieldManager=x", ("create", "jobs")),
        ("PUT", "https://api/apis/finetune.dev/v1alpha1/namespaces/a/finetunejobs/b/status", ("update", "finetunejobs/status")),
        ("PATCH", "https://api/api/v1/namespaces/a/configmaps/b", ("patch", "configmaps")),
        ("DELETE", "https://api/api/v1/namespaces/a/pods/b", ("delete", "pods")),
        ("GET", "https://api/api/v1/namespaces/team-a", ("get", "namespaces")),
        ("GET", "https://api/api/v1/namespaces", ("list", "namespaces")),
        ("GET", "https://api/apis/finetune.dev/v1alpha1/finetuneprofiles/safe", ("get", "finetuneprofiles")),
        ("GET", "https://api/apis/finetune.dev/v1alpha1", ("get", "discovery")),
        ("GET", "https://api/version", ("get", "discovery")),
    ],
)  # fmt: skip
def test_a_request_has_the_verb_and_resource_of_an_audit_log(method: str, url: str, labels: tuple[str, str]) -> None:
    assert request_labels(method, URL(url)) == labels


async def test_answers_are_counted_by_their_code_and_a_refused_connection_by_0() -> None:
    async def forbidden(_: web.Request) -> web.Response:
        answer = web.Response(status=403)
        answer.force_close()
        return answer

    app = web.Application()
    app.router.add_get("/api/v1/pods", forbidden)
    before = samples()
    async with TestServer(app) as server, aiohttp.ClientSession(middlewares=[counting]) as session:
        async with session.get(server.make_url("/api/v1/pods")):
            pass
        gone = server.make_url("/api/v1/pods")
        await server.close()
        with pytest.raises(aiohttp.ClientError):
            await session.get(gone)

    assert added(before) == {
        ("finetune_kube_requests_total", "list", "pods", "403"): 1,
        ("finetune_kube_requests_total", "list", "pods", "0"): 1,
    }


async def test_a_request_of_a_pass_is_noted_in_it_and_one_of_nobody_s_nowhere() -> None:
    app = web.Application()

    async def created(_: web.Request) -> web.Response:
        return web.Response(status=201)

    app.router.add_post("/api/v1/namespaces/a/events", created)
    this = Pass(datetime.now(UTC))
    async with TestServer(app) as server, aiohttp.ClientSession(middlewares=[counting]) as session:
        url = server.make_url("/api/v1/namespaces/a/events")
        await session.post(url)
        with under_way(this):
            await session.post(url)

    (request,) = this.requests
    assert (request.verb, request.resource, request.code) == ("create", "events", 201)
    assert this.start <= request.start <= request.end
