"""Who sends a report: the API server reviews the token, and its answer is cached for a short while.

Protocol: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cachetools import TLRUCache
from kubernetes.aio.client import (
    ApiClient,
    AuthenticationV1Api,
    V1TokenReview,
    V1TokenReviewSpec,
    V1TokenReviewStatus,
)

from finetune_api.base import JsonObject
from finetune_api.report import AUDIENCE
from finetune_operator.kube import server_time
from finetune_operator.kube.one_answer import OneAnswer

_KEEP_SECONDS = 300.0
_RENEW_SECONDS = 60.0
"""So long before an answer ends it is asked for again, while it still holds: no report waits for the API server then."""
_KEEP_REFUSED_SECONDS = 10.0
_EXPIRY_MARGIN_SECONDS = 10.0
_CACHED_TOKENS = 10_000
_REVIEWS_AT_ONCE = 8
_REVIEW_TIMEOUT_SECONDS = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NAME = re.compile(r"[A-Za-z0-9.-]{0,253}")
"""Of a namespace, a pod, or a uid: whatever else Kubernetes may ask of one, nothing that a log could not show."""
_LONGEST_TOKEN = 8 * 1024
_LATEST = 1e12
_USER_PREFIX = "system:serviceaccount:"
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True)
class Caller:
    """The pod that a token was made for. Name and uid are empty if the token is bound to no pod."""

    namespace: str
    pod_name: str
    pod_uid: str


def caller_of(status: V1TokenReviewStatus | None) -> Caller | None:
    """The caller that a finished review names; None if the token is not good for our audience."""
    # An API server that knows no audiences leaves them out: its answer is then about its own audience, not ours.
    if status is None or not status.authenticated or AUDIENCE not in (status.audiences or []):
        return None
    username = (status.user and status.user.username) or ""
    namespace, separator, _ = username.removeprefix(_USER_PREFIX).partition(":")
    if not username.startswith(_USER_PREFIX) or not separator:
        return None
    extra = (status.user and status.user.extra) or {}
    return Caller(namespace, _only(extra.get(_POD_NAME)), _only(extra.get(_POD_UID)))


def _only(values: list[str] | None) -> str:
    return values[0] if values and len(values) == 1 else ""


def claimed(token: str) -> Caller | None:
    """The pod that a token says it is made for, as Kubernetes writes it into one; None if it is no such token at all.

    Nothing is verified: what it says is enough to refuse, and never enough to believe.
    """
    claims = _claims(token)
    private = claims.get("kubernetes.io")
    if not isinstance(private, dict):
        return None
    pod = private.get("pod")
    names = private.get("namespace"), *((pod.get("name"), pod.get("uid")) if isinstance(pod, dict) else ("", ""))
    return Caller(*names) if all(isinstance(name, str) and _NAME.fullmatch(name) for name in names) else None


def expiry_of(token: str) -> float | None:
    """The `exp` claim, in seconds since 1970, of a JSON web token; None if it has none that can be read.

    Nothing is verified: ask only for a token that a review has found good.
    """
    expiry = _claims(token).get("exp")
    return float(expiry) if isinstance(expiry, int | float) and abs(expiry) < _LATEST else None


def _claims(token: str) -> JsonObject:
    if len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        return {}
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def keep_until(caller: Caller | None, token: str, now: float) -> float:
    """Until when, in seconds since 1970, the outcome of a review may be used again."""
    if caller is None:
        return now + _KEEP_REFUSED_SECONDS
    expiry = expiry_of(token)
    longest = now + _KEEP_SECONDS
    return longest if expiry is None else min(longest, expiry - _EXPIRY_MARGIN_SECONDS)


def _their_time() -> float:
    """The API server's, which issues the tokens. By our own clock, were it ahead, each would be over already, and reviewed with each report."""
    return server_time.now().timestamp()


@dataclass(frozen=True)
class _Verdict:
    caller: Caller | None
    keep_until: float


class TokenReviews:
    """Asks the API server about tokens. Only hashes of them are kept."""

    def __init__(self, client: ApiClient, *, clock: Callable[[], float] = _their_time) -> None:
        """`clock` shows the seconds since 1970: a token says by it when it ends."""
        self._api = AuthenticationV1Api(client)
        self._clock = clock
        self._verdicts: TLRUCache[str, _Verdict, float] = TLRUCache(
            _CACHED_TOKENS, ttu=lambda _, verdict, __: verdict.keep_until, timer=clock
        )
        self._under_way: OneAnswer[str, Caller | None] = OneAnswer()
        self._at_once = asyncio.Semaphore(_REVIEWS_AT_ONCE)

    def knows(self, token: str) -> bool:
        """Whether the next question about this token costs no request of its own."""
        key = _hash(token)
        return key in self._verdicts or key in self._under_way

    async def caller(self, token: str) -> Caller | None:
        """Who holds this token; None if it is not good for our audience. Questions at the same time share one request.

        Raises one of `finetune_operator.kube.errors.API_FAILURES` if the API server cannot be asked.
        """
        key = _hash(token)
        verdict, review = self._verdicts.get(key), partial(self._review, key, token)
        if verdict is None:
            return await self._under_way.to(key, review)
        if verdict.caller is not None and verdict.keep_until - self._clock() < _RENEW_SECONDS:
            # Until it is there, or if there is none, the answer that is known holds.
            self._under_way.begin(key, review)
        return verdict.caller

    async def _review(self, key: str, token: str) -> Caller | None:
        review = V1TokenReview(spec=V1TokenReviewSpec(token=token, audiences=[AUDIENCE]))
        async with self._at_once:
            answer = await self._api.create_token_review(review, _request_timeout=_REVIEW_TIMEOUT_SECONDS)
        caller = caller_of(answer.status)
        self._verdicts[key] = _Verdict(caller, keep_until(caller, token, self._clock()))
        return caller


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
