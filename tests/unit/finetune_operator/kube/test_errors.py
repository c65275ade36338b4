"""Answers that are none of Kubernetes': a proxy before the API server may give any."""

import aiohttp
import pytest
from kubernetes.aio.client import ApiException
from tests.unit.finetune_operator.fake_api import refusal

from finetune_operator.kube.errors import NotLeading, api_message, rest_of_list, shared_cause


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
            "ConnectionTimeoutError",
        ),
        (TimeoutError(), "TimeoutError"),
        (ConnectionResetError("gone"), "ConnectionResetError"),
        (NotLeading(), "NotLeading"),
        (refusal(503, "no"), "503"),
        (refusal(429, "no"), "429"),
        (refusal(401, "no"), "401"),
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
