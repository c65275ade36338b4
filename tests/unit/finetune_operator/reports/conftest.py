"""An API server that knows TokenReviews and Secrets, over real HTTP, so that the real client speaks to it."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector, web
from kubernetes.aio.client import ApiClient, Configuration
from tests.unit.finetune_operator.reports.report_server import Endpoint, Pods, StartServer

from finetune_api.report import AUDIENCE
from finetune_operator.kube.client import Kube
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.reports.certificates import Certificates
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.server import BOUNDS, serve_reports
from finetune_operator.reports.troubles import Troubles

Json = dict[str, Any]


def token_of(
    pod: str,
    namespace: str = "team-a",
    *,
    uid: str | None = None,
    expires: int = 4_000_000_000,
    signature: str = "forged",
) -> str:
    """What looks like a token that is bound to a pod. Nobody knows it yet."""
    private = {"namespace": namespace, "pod": {"name": pod, "uid": uid or f"uid-of-{pod}"}}
    claims = json.dumps({"exp": expires, "kubernetes.io": private})
    return f"header.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.{signature}"


class ApiServer:
    """`reviews`, `secrets` and `failing` are what it answers from; `reviewed` holds each token that it was asked about."""

    def __init__(self) -> None:
        self.reviews: dict[str, Json] = {}
        self.reviewed: list[str] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failing: int | None = None
        self.secrets: dict[str, Json] = {}
        self.before_write: list[Json] = []
        """Secrets that somebody else writes just before our next write."""

    def issue(
        self,
        pod: str,
        namespace: str = "team-a",
        *,
        uid: str | None = None,
        audience: str = AUDIENCE,
        expires: int = 4_000_000_000,
    ) -> str:
        """A token bound to a pod, as a kubelet projects it."""
        token = token_of(pod, namespace, uid=uid, expires=expires, signature=f"{'s' * 43}{len(self.reviews)}")
        extra = {"pod-name": [pod], "pod-uid": [uid or f"uid-of-{pod}"]}
        self.reviews[token] = {
            "authenticated": True,
            "audiences": [audience],
            "user": {
                "username": f"system:serviceaccount:{namespace}:default",
                "extra": {
                    f"authentication.kubernetes.io/{key}": value for key, value in extra.items() if value != [""]
                },
            },
        }
        return token

    async def review(self, request: web.Request) -> web.Response:
        review: Json = await request.json()
        token = review["spec"]["token"]
        self.reviewed.append(token)
        self.asked.set()
        assert review["spec"]["audiences"] == [AUDIENCE]
        await self.may_answer.wait()
        if self.failing:
            return web.json_response({"kind": "Status", "code": self.failing, "message": token}, status=self.failing)
        status = self.reviews.get(token, {"authenticated": False, "error": "invalid bearer token"})
        if AUDIENCE not in status.get("audiences", []):
            status = {"authenticated": False, "error": "token audiences are invalid for the target audiences"}
        return web.json_response({**review, "status": status}, status=201)

    def _store(self, secret: Json) -> Json:
        version = str(
            int(
                self.secrets.get(secret["metadata"]["name"], {"metadata": {"resourceVersion": "0"}})["metadata"][
                    "resourceVersion"
                ]
            )
            + 1
        )
        stored = {**secret, "metadata": {**secret["metadata"], "resourceVersion": version}}
        self.secrets[secret["metadata"]["name"]] = stored
        return stored

    def _somebody_else_writes(self) -> None:
        if self.before_write:
            self._store(self.before_write.pop())

    async def get_secret(self, request: web.Request) -> web.Response:
        secret = self.secrets.get(request.match_info["name"])
        if self.failing or secret is None:
            code = self.failing or 404
            return web.json_response({"kind": "Status", "code": code}, status=code)
        return web.json_response(secret)

    async def create_secret(self, request: web.Request) -> web.Response:
        secret: Json = await request.json()
        self._somebody_else_writes()
        if secret["metadata"]["name"] in self.secrets:
            return web.json_response({"kind": "Status", "reason": "AlreadyExists", "code": 409}, status=409)
        return web.json_response(self._store(secret), status=201)

    async def replace_secret(self, request: web.Request) -> web.Response:
        secret: Json = await request.json()
        self._somebody_else_writes()
        if (
            secret["metadata"]["resourceVersion"]
            != self.secrets[secret["metadata"]["name"]]["metadata"]["resourceVersion"]
        ):
            return web.json_response({"kind": "Status", "reason": "Conflict", "code": 409}, status=409)
        return web.json_response(self._store(secret))


@pytest.fixture
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a CA. A client that is named none reads the hundred and more of the machine."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
async def client(api_server: ApiServer, one_authority: str) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", api_server.review)
    app.router.add_get("/api/v1/namespaces/finetune/secrets/{name}", api_server.get_secret)
    app.router.add_put("/api/v1/namespaces/finetune/secrets/{name}", api_server.replace_secret)
    app.router.add_post("/api/v1/namespaces/finetune/secrets", api_server.create_secret)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration(host=f"http://127.0.0.1:{site.port}")
    configuration.ssl_ca_cert = one_authority
    async with ApiClient(configuration) as client:
        yield client
    await runner.cleanup()


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
