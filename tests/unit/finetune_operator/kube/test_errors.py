"""Answers that are none of Kubernetes': a proxy before the API server may give any."""

import pytest
from kubernetes.aio.client import ApiException

from finetune_operator.kube.errors import api_message, rest_of_list


@pytest.mark.parametrize("body", ["", "<html>", "[]", "1", "null", "{}", "[" * 100_000, '{"metadata":' * 2000])
def test_an_answer_that_is_no_status_is_told_by_its_code_and_has_no_rest(body: str) -> None:
    error = ApiException(status=410, reason="Gone")
    error.body = body

    assert (api_message(error), rest_of_list(error)) == ("Gone", None)
