"""Answers that are none of Kubernetes': a proxy before the API server may give any."""

import errno
import socket

import aiohttp
import pytest
from kubernetes.aio.client import ApiException
from tests.unit.finetune_operator.fake_api import refusal

from finetune_operator.kube.errors import NotLeading, api_message, cause_of, explained, rest_of_list, shared_cause

WEBHOOK = 'Internal error occurred: failed calling webhook "jobs.example.com": failed to call webhook: 500'


@pytest.mark.parametrize("body", ["", "<html>", "[]", "1", "null", "{}", "[" * 100_000, '{"metadata":' * 2000])
def test_an_answer_that_is_no_status_is_told_by_its_code_and_has_no_rest(body: str) -> None:
    error = ApiException(status=410, reason="Gone")
    error.body = body

    assert (api_message(error), rest_of_list(error)) == ("Gone", None)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            aiohttp.ConnectionTimeoutError(
                "Connection timeout to host https://10.0.0.1/api/v1/pods?resourceVersion=17"
            ),
            "no answer",
        ),
        (TimeoutError(), "no answer"),
        (ConnectionResetError("gone"), "no answer"),
        (NotLeading(), "NotLeading"),
        (refusal(503, "no"), "503"),
        (refusal(429, "no"), "429"),
        (refusal(401, "no"), "401"),
        (refusal(500, "etcdserver: request timed out"), "500 etcdserver: request timed out"),
        (refusal(502, "no"), "502"),
        (refusal(500, WEBHOOK), None),
        (refusal(403, "pods is forbidden in team-a"), None),
        (refusal(409, "it has changed"), None),
        (ApiException(), None),
        (ValueError("no JSON"), None),
        (KeyError("metadata"), None),
    ],
    ids=repr,
)
def test_what_keeps_the_api_server_from_answering_anybody_is_one_cause_whatever_was_asked(
    error: Exception, cause: str | None
) -> None:
    assert shared_cause(error) == cause


@pytest.mark.parametrize(
    ("error", "cause", "is_own"),
    [
        (refusal(503, "no"), "503", False),
        (TimeoutError(), "no answer", False),
        (refusal(403, 'jobs.batch is forbidden: User "operator" cannot create'), "403 refused", False),
        (ValueError("no JSON"), "ValueError no JSON", False),
        (refusal(500, WEBHOOK), "500 refused", True),
        (refusal(422, "spec.backoffLimit: Invalid"), "422 refused", True),
        (refusal(403, "ValidatingAdmissionPolicy 'x' with binding 'y' denied request"), "403 refused", True),
    ],
)
def test_what_an_answer_says_of_one_object_hides_nothing_that_is_said_of_another(
    error: Exception, cause: str, is_own: bool
) -> None:
    causes = [cause_of(error, about) for about in ("team-a/one", "team-a/two")]

    assert causes == ([f"team-a/one: {cause}", f"team-a/two: {cause}"] if is_own else [cause, cause])


def test_an_answer_is_explained_by_its_message_if_it_has_one() -> None:
    assert explained(refusal(500, WEBHOOK)) == f"500 refused: {WEBHOOK}"
    assert explained(ApiException(status=500, reason="Internal Server Error")) == "500 Internal Server Error"
    assert explained(refusal(500, "x" * 100_000)) == f"500 refused: {'x' * 512}"
    assert explained(OSError("gone")) == "OSError gone"


def test_only_what_fails_on_the_way_to_the_api_server_is_told_together() -> None:
    on_the_way = [ConnectionResetError(), TimeoutError(), socket.gaierror(-2, "not known"), aiohttp.ClientError()]
    of_a_file = [OSError(errno.ENOSPC, "no space left"), PermissionError(errno.EROFS, "read-only")]

    assert [shared_cause(error) for error in on_the_way] == ["no answer"] * 4
    assert [shared_cause(error) for error in of_a_file] == [None, None]
