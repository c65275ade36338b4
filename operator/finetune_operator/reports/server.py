"""The HTTPS endpoint that training pods report to. Everything that comes in is untrusted until it is checked here.

`POST /reports/v1alpha1/namespaces/{namespace}/finetunejobs/{name}` with the pod's projected token and a
`finetune_api.report.ReportBody`. Answers: 200 taken, 400 not a report, 401 not our token, 403 not a pod of that job,
404 elsewhere, 408 too slow, 413 above 64 KiB, 429 too often, 503 a pod that is not known yet, or the API server cannot be asked.
"""

import asyncio
import json
import logging
import math
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from aiohttp import web
from kubernetes.aio.client import ApiClient

from finetune_api.printable import printable
from finetune_api.report import MAX_REPORT_BYTES, ReportAnswer
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import REPORT_PATH, NotAReport, Received, parse_body
from finetune_operator.kube import server_time
from finetune_operator.kube.errors import API_FAILURES
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.metrics.instruments import REPORTS
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.pod_owner import NotSeenYet
from finetune_operator.reports.review_budget import ReviewBudget
from finetune_operator.reports.schedule import Schedule
from finetune_operator.reports.serving import Server, serve
from finetune_operator.reports.token_review import Caller, TokenReviews, claimed
from finetune_operator.reports.troubles import Troubles

BOUNDS = Bounds(total=2048, per_address=1024, kept=0.75)
"""Of about 40 KiB each: 80 MiB of the operator's memory at the most."""

_BODY_TIMEOUT_SECONDS = 10.0
_RETRY_SECONDS = 5
_SEE_AGAIN_SECONDS = 2
_ANSWERS = {
    401: "bad_token",
    403: "not_its_pod",
    408: "too_slow",
    413: "too_large",
    429: "too_often",
    503: "unavailable",
}
"""Names of the answers in the metrics; any other is for what is no report."""
_AT_ONCE = 32
"""Reports of one namespace whose bodies are read at the same time."""

logger = logging.getLogger(__name__)

FindJob = Callable[[Caller], Key | None]
"""Finds the job that a pod may report for, without asking anybody. Raises NotSeenYet if it may be known soon."""


async def serve_reports(
    *,
    client: ApiClient,
    find_job: FindJob,
    on_report: Callable[[Received], None],
    on_refused: Callable[[Key, str], None],
    context: ssl.SSLContext,
    host: str,
    port: int,
    troubles: Troubles,
    per_second: float,
    interval: float,
    rate: RateLimit | None = None,
    bounds: Bounds = BOUNDS,
) -> Server:
    """Serves reports until `close()`.

    `context` is that of `finetune_operator.reports.certificates.Certificates`, which renews it in place. `on_report` is called
    for each good report, and must not block; `on_refused` with the job and what is wrong, for each that a pod of it sent
    and that is no report. Pods are asked to report `per_second` times a second in all, and each once in `interval` seconds at
    the most. `rate` is how often one pod may report: by default 10 at once and 1 a
    second in the long run. Raises OSError if the address cannot be had.
    """
    rate = rate or RateLimit(per_second=1, burst=10)
    schedule = Schedule(per_second=per_second, interval=interval)
    endpoint = _Endpoint(TokenReviews(client), find_job, on_report, on_refused, rate, schedule, troubles)
    routes = [web.post(REPORT_PATH, endpoint.post)]
    return await serve(routes, host, port, bounds, most_bytes=MAX_REPORT_BYTES, tls=context, on_trouble=troubles.note)


class _TooManyTokens(web.HTTPTooManyRequests):
    """The API server is not to be asked about another token now."""


class _Endpoint:
    """One request at a time; what is cheapest to refuse is refused first, and the body is read last."""

    def __init__(
        self,
        reviews: TokenReviews,
        find_job: FindJob,
        on_report: Callable[[Received], None],
        on_refused: Callable[[Key, str], None],
        rate: RateLimit,
        schedule: Schedule,
        troubles: Troubles,
    ) -> None:
        self._reviews = reviews
        self._find_job = find_job
        self._on_report = on_report
        self._on_refused = on_refused
        self._rate = rate
        self._schedule = schedule
        self._troubles = troubles
        self._budget = ReviewBudget()
        self._reading: Counter[str] = Counter()

    async def post(self, request: web.Request) -> web.Response:
        """Answer a report, count the answer, and remember why one was refused."""
        address = request.remote or ""
        try:
            response = await self._take(request)
        except web.HTTPException as refusal:
            is_unseen = isinstance(refusal.__context__, NotSeenYet)
            named = "too_many_tokens" if isinstance(refusal, _TooManyTokens) else _ANSWERS.get(refusal.status)
            answer = "unknown_pod" if is_unseen else named or "not_a_report"
            self._troubles.note(
                address, f"its last report was refused with {refusal.status} ({answer.replace('_', ' ')})"
            )
            REPORTS.labels(answer).inc()
            raise
        self._troubles.clear(address)
        REPORTS.labels("taken").inc()
        return response

    async def _take(self, request: web.Request) -> web.Response:
        begun = time.monotonic()
        key = Key(request.match_info["namespace"], request.match_info["name"])
        token = _bearer_token(request)
        sender = _claimed_sender(token)
        self._authorize(sender, key)
        await self._authenticate(token, sender, request.remote or "")
        _refuse_if_early(self._rate.wait(sender.pod_uid), "this pod reports too often")
        with self._one_of_the_namespace(key.namespace):
            raw = await _read(request)
        try:
            body = parse_body(raw)
        except NotAReport as error:
            self._on_refused(key, str(error))
            _refuse(web.HTTPBadRequest, error.message, fields=error.fields)
        took = time.monotonic() - begun
        self._on_report(Received(key, sender.pod_name, sender.pod_uid, body, server_time.now(), took))
        answer = ReportAnswer(next_report_seconds=self._schedule.next_report(sender.pod_uid))
        # Exactly 200: stock transformers takes any other status for a failure.
        return web.json_response(answer.to_wire())

    def _authorize(self, sender: Caller, key: Key) -> None:
        """Refuse who would not be let in even if the token were good: it costs no request, where a review is one."""
        try:
            own = self._find_job(sender)
        except NotSeenYet:
            message = "no pod with this uid is known yet that belongs to a FineTuneJob"
            _refuse(web.HTTPServiceUnavailable, message, headers={"Retry-After": str(_SEE_AGAIN_SECONDS)})
        if own != key:
            job = printable(str(key))
            logger.warning("refused a report for %s from pod %s/%s", job, sender.namespace, sender.pod_name)
            _refuse(web.HTTPForbidden, "a pod may report for its own FineTuneJob only, and of many pods the first")

    async def _authenticate(self, token: str, sender: Caller, address: str) -> None:
        """Ask the API server whose token it is, unless that is known."""
        if not self._reviews.knows(token):
            _refuse_if_early(*self._budget.wait(sender, address), status=_TooManyTokens)
        try:
            caller = await self._reviews.caller(token)
        except API_FAILURES as error:
            _refuse_unavailable("TokenReview", error)
        if caller != sender:
            _refuse_token()

    @contextmanager
    def _one_of_the_namespace(self, namespace: str) -> Iterator[None]:
        if self._reading[namespace] >= _AT_ONCE:
            _refuse_if_early(1, "too many reports of this namespace at once")
        self._reading[namespace] += 1
        try:
            yield
        finally:
            self._reading[namespace] -= 1
            if not self._reading[namespace]:
                del self._reading[namespace]


def _bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        _refuse(web.HTTPUnauthorized, "needs the header Authorization: Bearer <the pod's token>")
    return token


def _claimed_sender(token: str) -> Caller:
    sender = claimed(token)
    if sender is None:
        _refuse_token()
    if not sender.pod_uid:
        _refuse(web.HTTPForbidden, "the token is bound to no pod")
    return sender


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError:
        _refuse(web.HTTPRequestTimeout, f"the body did not come within {_BODY_TIMEOUT_SECONDS:.0f} s")
    except web.HTTPRequestEntityTooLarge:
        _refuse_too_large()
    except (web.RequestPayloadError, ConnectionError):  # the latter if the client has hung up
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


def _refuse_token() -> NoReturn:
    _refuse(web.HTTPUnauthorized, "the token is expired, unknown, or made for another audience")


def _refuse_too_large() -> NoReturn:
    message = json.dumps({"error": f"a report has at most {MAX_REPORT_BYTES} bytes"})
    raise web.HTTPRequestEntityTooLarge(
        MAX_REPORT_BYTES, MAX_REPORT_BYTES + 1, text=message, content_type="application/json"
    ) from None


def _refuse_if_early(wait: float, message: str, *, status: type[web.HTTPError] = web.HTTPTooManyRequests) -> None:
    if wait:
        _refuse(status, message, headers={"Retry-After": str(math.ceil(wait))})


def _refuse_unavailable(what: str, error: Exception) -> NoReturn:
    # Only the kind of error: its text may repeat the request, and with it the token.
    logger.error("%s failed: %s %s", what, type(error).__name__, getattr(error, "status", ""))
    message = "the operator cannot reach the Kubernetes API now"
    _refuse(web.HTTPServiceUnavailable, message, headers={"Retry-After": str(_RETRY_SECONDS)})
