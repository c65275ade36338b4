"""The HTTPS endpoint that training pods report to. Everything that comes in is untrusted until it is checked here.

`POST /reports/v1alpha1/namespaces/{namespace}/finetunejobs/{name}` with the pod's projected token and a
`finetune_api.report.ReportBody`. Answers: 200 taken, 400 not a report, 401 not our token, 403 not a pod of that job,
404 elsewhere, 408 too slow, 413 above 64 KiB, 429 too often, 503 the API server cannot be asked.
"""

import asyncio
import json
import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn

from aiohttp import web
from aiohttp.http import HttpProcessingError
from kubernetes.aio.client import ApiClient

from finetune_api.report import MAX_REPORT_BYTES
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import REPORT_PATH, NotAReport, Received, parse_body
from finetune_operator.kube.errors import API_FAILURES
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.reports.token_review import Caller, TokenReviews

_BODY_TIMEOUT_SECONDS = 10.0
_HANDSHAKE_TIMEOUT_SECONDS = 10.0
_IDLE_TIMEOUT_SECONDS = 30.0
"""From one request to the next, headers included: aiohttp counts from the connection's begin or the last answer."""
_SHUTDOWN_SECONDS = 5.0
_MAX_CONNECTIONS = 2_000
_RETRY_SECONDS = 5

logger = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")


FindJob = Callable[[Caller], Awaitable[Key | None]]
"""Finds the job that a pod may report for. Raises one of API_FAILURES if the API server cannot be asked."""


class ReportServer:
    """A server that listens. `port` is the one in use, also where 0 was asked for."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Takes no new connection, lets the requests under way end, and closes."""
        self._server.close()
        await self._runner.cleanup()


async def serve_reports(
    *,
    client: ApiClient,
    find_job: FindJob,
    on_report: Callable[[Received], None],
    on_refused: Callable[[Key, str], None],
    context: ssl.SSLContext,
    host: str,
    port: int,
    rate: RateLimit | None = None,
) -> ReportServer:
    """Serves reports until `close()`.

    `context` is that of `finetune_operator.reports.certificates.Certificates`, which renews it in place. `on_report` is called
    for each good report, and must not block; `on_refused` with the job and what is wrong, for each that a pod of it sent
    and that is no report. `rate` is how often one pod may report: by default 10 at once and 1 a
    second in the long run. Raises OSError if the address cannot be had.
    """
    rate = rate or RateLimit(per_second=1, burst=10)
    endpoint = _Endpoint(TokenReviews(client), find_job, on_report, on_refused, rate)
    app = web.Application(client_max_size=MAX_REPORT_BYTES)
    app.router.add_post(REPORT_PATH, endpoint.post)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_wire_log,
        handle_signals=False,
        keepalive_timeout=_IDLE_TIMEOUT_SECONDS,
        lingering_time=1.0,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        # A compressed body would be a few bytes here and gigabytes in memory; nobody sends one.
        auto_decompress=False,
    )
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(
        _bounded(runner), host, port, ssl=context, ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_SECONDS
    )
    return ReportServer(runner, server)


class _Endpoint:
    """One request at a time; what is cheapest to refuse is refused first, and the body is read last."""

    def __init__(
        self,
        reviews: TokenReviews,
        find_job: FindJob,
        on_report: Callable[[Received], None],
        on_refused: Callable[[Key, str], None],
        rate: RateLimit,
    ) -> None:
        self._reviews = reviews
        self._find_job = find_job
        self._on_report = on_report
        self._on_refused = on_refused
        self._rate = rate
        # A stranger with a new wrong token each time must not make us flood the API server with reviews.
        self._review_rate = RateLimit(per_second=10, burst=100)

    async def post(self, request: web.Request) -> web.Response:
        key = Key(request.match_info["namespace"], request.match_info["name"])
        caller = await self._authenticate(request)
        _refuse_if_early(self._rate.wait(caller.pod_uid), "this pod reports too often")
        await self._authorize(caller, key)
        raw = await _read(request)
        try:
            body = parse_body(raw)
        except NotAReport as error:
            self._on_refused(key, str(error))
            _refuse(web.HTTPBadRequest, error.message, fields=error.fields)
        self._on_report(Received(key, caller.pod_name, caller.pod_uid, body, datetime.now(UTC)))
        # Exactly 200: stock transformers takes any other status for a failure.
        return web.json_response({})

    async def _authenticate(self, request: web.Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            _refuse(web.HTTPUnauthorized, "needs the header Authorization: Bearer <the pod's token>")
        if not self._reviews.knows(token):
            _refuse_if_early(self._review_rate.wait(request.remote or ""), "too many tokens from this address")
        try:
            caller = await self._reviews.caller(token)
        except API_FAILURES as error:
            _refuse_unavailable("TokenReview", error)
        if caller is None:
            _refuse(web.HTTPUnauthorized, "the token is expired, unknown, or made for another audience")
        if not caller.pod_uid:
            _refuse(web.HTTPForbidden, "the token is bound to no pod")
        return caller

    async def _authorize(self, caller: Caller, key: Key) -> None:
        try:
            own = await self._find_job(caller)
        except API_FAILURES as error:
            _refuse_unavailable("the pod's look-up", error)
        if own != key:
            logger.warning("refused a report for %s from pod %s/%s", key, caller.namespace, caller.pod_name)
            _refuse(web.HTTPForbidden, "a pod may report for its own FineTuneJob only, and of many pods the first")


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError:
        _refuse(web.HTTPRequestTimeout, f"the body did not come within {_BODY_TIMEOUT_SECONDS:.0f} s")
    except web.HTTPRequestEntityTooLarge:
        _refuse_too_large()
    except web.RequestPayloadError:
        _refuse(web.HTTPBadRequest, "the body is cut off or wrongly framed")


def _refuse(
    status: type[web.HTTPError],
    message: str,
    *,
    headers: dict[str, str] | None = None,
    fields: list[dict[str, str]] | None = None,
) -> NoReturn:
    answer = {"error": message, **({"fields": fields} if fields else {})}
    if status is web.HTTPUnauthorized:
        headers = {"WWW-Authenticate": "Bearer"}
    raise status(text=json.dumps(answer), content_type="application/json", headers=headers)


def _refuse_too_large() -> NoReturn:
    message = json.dumps({"error": f"a report has at most {MAX_REPORT_BYTES} bytes"})
    raise web.HTTPRequestEntityTooLarge(
        MAX_REPORT_BYTES, MAX_REPORT_BYTES + 1, text=message, content_type="application/json"
    ) from None


def _refuse_if_early(wait: float, message: str) -> None:
    if wait:
        _refuse(web.HTTPTooManyRequests, message, headers={"Retry-After": str(math.ceil(wait))})


def _refuse_unavailable(what: str, error: Exception) -> NoReturn:
    # Only the kind of error: its text may repeat the request, and with it the token.
    logger.error("%s failed: %s %s", what, type(error).__name__, getattr(error, "status", ""))
    message = "the operator cannot reach the Kubernetes API now"
    _refuse(web.HTTPServiceUnavailable, message, headers={"Retry-After": str(_RETRY_SECONDS)})


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _bounded(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """The server's protocol while there are few connections; above the bound a new one is closed at once."""

    def protocol() -> asyncio.Protocol:
        server = runner.server
        if server is None or len(server.connections) >= _MAX_CONNECTIONS:
            return _Refusal()
        return server()

    return protocol


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether aiohttp complains about us. Its complaints about a peer's bad HTTP repeat headers, and so a token."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_wire_log.addFilter(_is_ours)
