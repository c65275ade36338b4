"""What the libraries below fsspec raise, told in our words."""

import json
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from gcsfs.retry import HttpError, validate_response
from google.auth.exceptions import DefaultCredentialsError

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.credentials import Role
from finetune_trainer.storage.errors import explain, is_transient, problem_of, remote_failures


def of_s3(code: str, status: int) -> OSError:
    """As s3fs raises: an OSError that botocore's led to."""
    response: Any = {"Error": {"Code": code, "Message": "text"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(5, "text")
    error.__cause__ = ClientError(response, "PutObject")
    return error


def of_gcs(status: int, message: str) -> Exception:
    """What gcsfs makes of an answer: of some it keeps no status."""
    answer = json.dumps({"error": {"code": status, "message": message}}).encode()
    try:
        validate_response(status, answer, "b/{}/o", ["bucket"])
    except Exception as error:  # noqa: BLE001 - of many classes
        return error
    raise AssertionError(f"{status} is no failure")


def of_azure(kind: type[HttpResponseError], status: int, code: str) -> HttpResponseError:
    error = kind(message=code)
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (of_s3("InvalidAccessKeyId", 403), "refused"),
        (of_s3("SignatureDoesNotMatch", 403), "refused"),
        (of_s3("ExpiredToken", 400), "refused"),
        (NoCredentialsError(), "refused"),
        (of_s3("AccessDenied", 403), "not allowed"),
        (of_s3("NoSuchBucket", 404), "no bucket"),
        (of_s3("NoSuchKey", 404), "missing"),
        (of_s3("SlowDown", 503), "unreachable"),
        (of_s3("InternalError", 500), "unreachable"),
        (EndpointConnectionError(endpoint_url="http://x"), "unreachable"),
        (of_s3("MalformedXML", 400), "other"),
        (HttpError({"code": 401, "message": "Anonymous caller"}), "refused"),
        (of_gcs(403, "no permission"), "not allowed"),
        (of_gcs(404, "The specified bucket does not exist."), "missing"),
        (of_gcs(429, "slow down"), "unreachable"),
        (of_gcs(400, "bad request"), "other"),
        (HttpError({"code": 503, "message": "backend"}), "unreachable"),
        (DefaultCredentialsError("none"), "refused"),
        (of_azure(ClientAuthenticationError, 401, "NoAuthenticationInformation"), "refused"),
        (of_azure(HttpResponseError, 403, "AuthenticationFailed"), "refused"),
        (of_azure(HttpResponseError, 403, "AuthorizationPermissionMismatch"), "not allowed"),
        (of_azure(ResourceNotFoundError, 404, "ContainerNotFound"), "no bucket"),
        (of_azure(ResourceNotFoundError, 404, "BlobNotFound"), "missing"),
        (ServiceRequestError("cannot connect"), "unreachable"),
        (aiohttp.ClientPayloadError("cut"), "unreachable"),
        (TimeoutError(), "unreachable"),
        (FileNotFoundError("x"), "missing"),
        (PermissionError("x"), "not allowed"),
        (ValueError("x"), "other"),
    ],
)
def test_each_library_s_errors_are_distinguished(error: BaseException, problem: str) -> None:
    assert problem_of(error) == problem


@pytest.mark.parametrize(
    ("role", "code", "field"),
    [
        ("model", ExitCode.MODEL, "model.source"),
        ("dataset", ExitCode.DATA, "dataset.source"),
        ("output", ExitCode.OUTPUT, "output.uri"),
    ],
)
def test_the_role_decides_the_exit_code_and_the_field_that_is_named(role: Role, code: ExitCode, field: str) -> None:
    told = explain(of_s3("AccessDenied", 403), "s3://bucket/x", role)

    assert (told.exit_code, told.reason) == (code, "AccessDenied")
    assert told.message.startswith(f"{field} s3://bucket/x may not be {'written' if role == 'output' else 'read'}")
    assert told.hint is not None
    assert f"{role}.secretRef" in told.hint


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 503, 507, 522])
def test_what_a_service_answers_in_passing_is_tried_again(status: int) -> None:
    told = explain(HttpError({"code": status, "message": "text"}), "gs://bucket/x", "dataset")

    assert (told.exit_code, told.reason) == (ExitCode.INTERNAL, "StorageUnreachable")


def test_what_may_pass_is_retried_by_kubernetes_and_refusals_are_not() -> None:
    unreachable = explain(TimeoutError(), "gs://bucket/x", "output")
    refused = explain(NoCredentialsError(), "s3://bucket/x", "output")
    denied = explain(of_s3("AccessDenied", 403), "s3://bucket/x", "output")
    unknown = explain(of_s3("MalformedXML", 400), "s3://bucket/x", "output")

    assert (unreachable.exit_code, is_transient(unreachable)) == (ExitCode.INTERNAL, True)
    assert (refused.exit_code, is_transient(refused)) == (ExitCode.OUTPUT, True)
    assert (unknown.exit_code, is_transient(unknown)) == (ExitCode.OUTPUT, True)
    assert (denied.exit_code, is_transient(denied)) == (ExitCode.OUTPUT, False)


def test_an_explained_failure_is_not_explained_again() -> None:
    own = TrainerError(ExitCode.DATA, "NoRows", "there are none")

    with pytest.raises(TrainerError) as caught, remote_failures("s3://b/x", "dataset"):
        raise own

    assert caught.value is own
