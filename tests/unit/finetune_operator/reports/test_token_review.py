import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import ApiClient, ApiException, V1TokenReviewStatus, V1UserInfo

from finetune_api.report import AUDIENCE
from finetune_operator.kube.server_time import ServerTime
from finetune_operator.reports.token_review import Caller, TokenReviews, caller_of, claimed, expiry_of, keep_until

POD = {"authentication.kubernetes.io/pod-name": ["train-abc"], "authentication.kubernetes.io/pod-uid": ["uid-1"]}
CALLER = Caller("team-a", "train-abc", "uid-1")


def status(**changes: Any) -> V1TokenReviewStatus:
    user = V1UserInfo(
        username=changes.pop("username", "system:serviceaccount:team-a:default"), extra=changes.pop("extra", POD)
    )
    return V1TokenReviewStatus(**{"authenticated": True, "audiences": [AUDIENCE], "user": user, **changes})


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def test_a_pod_s_token_names_its_pod() -> None:
    assert caller_of(status()) == CALLER


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(None, id="no status"),
        pytest.param(status(authenticated=False), id="not authenticated"),
        pytest.param(status(audiences=None), id="an API server that knows no audiences"),
        pytest.param(status(audiences=["https://kubernetes.default.svc"]), id="another audience"),
        pytest.param(status(username="system:admin"), id="not a service account"),
        pytest.param(status(username="system:serviceaccount:team-a"), id="half a service account"),
        pytest.param(V1TokenReviewStatus(authenticated=True, audiences=[AUDIENCE]), id="no user"),
    ],
)
def test_a_token_that_is_not_good_for_us_has_no_caller(refused: V1TokenReviewStatus | None) -> None:
    assert caller_of(refused) is None


@pytest.mark.parametrize(
    "extra", [None, {}, {"authentication.kubernetes.io/pod-uid": []}, {**POD, **{k: ["a", "b"] for k in POD}}]
)
def test_a_token_bound_to_no_single_pod_names_none(extra: dict[str, list[str]] | None) -> None:
    assert caller_of(status(extra=extra)) == Caller("team-a", "", "")


def test_the_expiry_is_read_from_the_claims() -> None:
    assert expiry_of(token(exp=1_700_000_000)) == 1_700_000_000


@given(st.one_of(st.text(), st.text().map(lambda text: token(exp=text)), st.just(token()), st.just("a.W10.c")))
def test_whatever_the_token_is_reading_its_expiry_never_fails(text: str) -> None:
    assert expiry_of(text) is None or isinstance(expiry_of(text), float)


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "\u202e", "a/b", "x" * 254, 7, None, []])
def test_a_token_with_names_that_kubernetes_gives_nobody_names_no_pod(name: object) -> None:
    good = {"namespace": "team-a", "pod": {"name": "train-abc", "uid": "uid-1"}}

    assert claimed(token(**{"kubernetes.io": good})) == CALLER
    assert claimed(token(**{"kubernetes.io": {**good, "namespace": name}})) is None
    assert claimed(token(**{"kubernetes.io": {**good, "pod": {"name": name, "uid": "uid-1"}}})) is None
    assert claimed(token(**{"kubernetes.io": {**good, "pod": {"name": "train-abc", "uid": name}}})) is None


def test_a_good_answer_is_kept_five_minutes_or_until_shortly_before_the_token_ends() -> None:
    now = 1000.0

    kept = [keep_until(CALLER, token(exp=now + 3600), now), keep_until(CALLER, token(exp=now + 60), now)]

    assert kept == [now + 300, now + 50]


def test_a_refusal_is_kept_briefly() -> None:
    assert keep_until(None, token(exp=10_000), 1000) == 1010


async def test_questions_about_one_token_at_the_same_time_share_a_request(api_server: Any, client: ApiClient) -> None:
    reviews = TokenReviews(client)
    pod_token = api_server.issue("train-abc", uid="uid-1")
    api_server.may_answer.clear()
    questions = [asyncio.create_task(reviews.caller(pod_token)) for _ in range(5)]
    await api_server.asked.wait()

    questions[0].cancel()
    api_server.may_answer.set()
    answers = await asyncio.gather(*questions[1:])

    assert (answers, len(api_server.reviewed)) == ([CALLER] * 4, 1)


async def test_an_answer_is_asked_for_anew_once_it_is_old(api_server: Any, client: ApiClient) -> None:
    now = 1000.0
    reviews = TokenReviews(client, clock=lambda: now)
    pod_token = api_server.issue("train-abc", uid="uid-1")

    for moment in (1000.0, 1299.0, 1301.0):
        now = moment
        assert await reviews.caller(pod_token) == CALLER

    assert len(api_server.reviewed) == 2


async def test_where_our_clock_is_hours_ahead_a_token_s_end_is_by_the_clock_of_the_api_server_that_issued_it(
    api_server: Any, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, behind = datetime.now(UTC) - timedelta(hours=2), ServerTime()
    behind.note(format_datetime(theirs, usegmt=True), datetime.now(UTC), took=0.0)
    monkeypatch.setattr("finetune_operator.kube.server_time.SERVER_TIME", behind)
    reviews = TokenReviews(client)
    pod_token = api_server.issue("train-abc", uid="uid-1", expires=int((theirs + timedelta(hours=1)).timestamp()))

    callers = [await reviews.caller(pod_token) for _ in range(3)]

    assert (callers, len(api_server.reviewed)) == ([CALLER] * 3, 1)


async def test_a_failed_request_is_not_remembered(api_server: Any, client: ApiClient) -> None:
    reviews = TokenReviews(client)
    pod_token = api_server.issue("train-abc", uid="uid-1")
    api_server.failing = 500
    with pytest.raises(ApiException):
        await reviews.caller(pod_token)

    api_server.failing = None

    assert await reviews.caller(pod_token) == CALLER


async def test_only_a_hash_of_a_token_is_kept(api_server: Any, client: ApiClient) -> None:
    reviews = TokenReviews(client)
    pod_token = api_server.issue("train-abc")

    await reviews.caller(pod_token)

    assert reviews.knows(pod_token)
    assert pod_token not in repr({key: list(value) for key, value in vars(reviews).items() if hasattr(value, "keys")})
