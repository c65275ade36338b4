"""What the libraries below fsspec raise, told in our words."""

import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import google.auth
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity import AzureCliCredential, ChainedTokenCredential, EnvironmentCredential
from azure.identity.aio import DefaultAzureCredential
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from gcsfs.retry import HttpError, validate_response
from google.auth.exceptions import DefaultCredentialsError
from huggingface_hub import constants

from finetune_api.report import ENV_SECRETS, ExitCode
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


ANONYMOUS = "Anonymous caller does not have storage.objects.list access to the Google Cloud Storage bucket."
SIGNED_OUT = "AADSTS7000215: Invalid client secret provided"


class Refused:
    """A credential that is there, and that the service does not take."""

    def __init__(self, said: str) -> None:
        self.said = said

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise ClientAuthenticationError(message=self.said)


def of_azure_identity(*credentials: Any) -> Exception:
    with pytest.raises(ClientAuthenticationError) as caught:
        ChainedTokenCredential(*credentials).get_token("https://storage.azure.com/.default")
    return caught.value


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (of_s3("InvalidAccessKeyId", 403), "refused"),
        (of_s3("SignatureDoesNotMatch", 403), "refused"),
        (of_s3("ExpiredToken", 400), "refused"),
        (NoCredentialsError(), "no credentials"),
        (of_s3("AccessDenied", 403), "not allowed"),
        (of_s3("NoSuchBucket", 404), "no bucket"),
        (of_s3("NoSuchKey", 404), "missing"),
        (of_s3("SlowDown", 503), "unreachable"),
        (of_s3("InternalError", 500), "unreachable"),
        (EndpointConnectionError(endpoint_url="http://x"), "unreachable"),
        (of_s3("MalformedXML", 400), "other"),
        (HttpError({"code": 401, "message": "Invalid Credentials"}), "refused"),
        (HttpError({"code": 401, "message": ANONYMOUS}), "no credentials"),
        (of_gcs(403, ANONYMOUS), "no credentials"),
        (of_gcs(403, "no permission"), "not allowed"),
        (of_gcs(404, "The specified bucket does not exist."), "missing"),
        (of_gcs(429, "slow down"), "unreachable"),
        (of_gcs(400, "bad request"), "other"),
        (HttpError({"code": 503, "message": "backend"}), "unreachable"),
        (of_azure(ClientAuthenticationError, 401, "NoAuthenticationInformation"), "no credentials"),
        (ValueError("Must provide either a connection_string or account_name with credentials!!"), "no credentials"),
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


def test_azure_s_credentials_are_missing_where_no_place_has_any(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "")

    assert problem_of(of_azure_identity(EnvironmentCredential(), AzureCliCredential())) == "no credentials"


@pytest.mark.parametrize(
    "said", [SIGNED_OUT, f"Authentication failed: {SIGNED_OUT}", "Microsoft Entra ID error '(invalid_client) no'"]
)
def test_azure_s_credentials_are_refused_where_one_place_has_some_that_are_wrong(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)

    assert problem_of(of_azure_identity(EnvironmentCredential(), Refused(said))) == "refused"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"AZURE_CLIENT_SECRET": "wrong"}, "EnvironmentCredential: Cannot connect to host 127.0.0.1:9 "),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/none"}, "WorkloadIdentityCredential: [Errno 2] No such file or directory"),
    ],
)
async def test_azure_s_credentials_are_given_also_where_none_could_sign_in(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], why: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    one = {"AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "one"}
    for name, value in {**one, **given, "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)

    async with DefaultAzureCredential(retry_total=0) as credential:
        with pytest.raises(ClientAuthenticationError) as caught:
            await credential.get_token("https://storage.azure.com/.default")

    told = explain(caught.value, "az://bucket/x", "dataset")
    assert told.reason == "CredentialsRefused"
    assert told.message.startswith(f"dataset.source az://bucket/x: the credentials are refused: {why}")


def of_google_auth() -> Exception:
    with pytest.raises(DefaultCredentialsError) as caught:
        google.auth.default()
    return caught.value


def test_google_s_credentials_are_missing_where_no_place_has_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    assert problem_of(of_google_auth()) == "no credentials"


@pytest.mark.parametrize("content", [None, "no JSON", "{}"])
def test_google_s_credentials_are_refused_where_their_file_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "key.json").write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    assert problem_of(of_google_auth()) == "refused"


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


SERVICE_ACCOUNT = ", or in pod.serviceAccountName a service account with rights there"


@pytest.mark.parametrize(
    ("error", "uri", "hint"),
    [
        (
            NoCredentialsError(),
            "s3://bucket/x",
            f"name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in dataset.secretRef{SERVICE_ACCOUNT} "
            "(outside a cluster set them as environment variables)",
        ),
        (
            of_gcs(403, ANONYMOUS),
            "gs://bucket/x",
            f"name a Secret with GOOGLE_APPLICATION_CREDENTIALS_JSON in dataset.secretRef{SERVICE_ACCOUNT} "
            "(outside a cluster set it as an environment variable)",
        ),
        (
            HttpError({"code": 401, "message": "Unauthorized"}),
            "hf://team/x",
            "name a Secret with HF_TOKEN in dataset.secretRef (outside a cluster set it as an environment variable)",
        ),
        (
            HttpError({"code": 401, "message": "Unauthorized"}),
            "https://host/x.csv",
            "https:// takes no credentials: put the file into a bucket or on a volume",
        ),
    ],
)
def test_where_no_credentials_are_given_none_are_said_to_be_refused(
    error: Exception, uri: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    told = explain(error, uri, "dataset")

    assert (told.exit_code, told.reason, told.hint) == (ExitCode.DATA, "CredentialsMissing", hint)
    assert told.message.startswith(f"dataset.source {uri} asks for credentials, and none are given: ")


def test_a_secret_without_the_keys_of_the_place_is_told_from_one_whose_keys_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "output").mkdir()
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path))
    refused = HttpError({"code": 401, "message": "Unauthorized"})

    without = explain(refused, "hf://team/x", "output")
    (tmp_path / "output" / "HF_TOKEN").write_text("hf_WrongOne0123456789012")
    wrong = explain(refused, "hf://team/x", "output")

    assert (without.reason, without.hint) == (
        "CredentialsMissing", "add HF_TOKEN to the Secret that output.secretRef names",
    )  # fmt: skip
    assert (wrong.reason, wrong.hint) == (
        "CredentialsRefused", "check HF_TOKEN in the Secret that output.secretRef names",
    )  # fmt: skip


def test_a_web_server_that_says_no_is_not_said_to_have_been_given_credentials() -> None:
    told = explain(HttpError({"code": 403, "message": "Forbidden"}), "https://host/x.csv?sig=1", "dataset")

    assert (told.reason, told.message.partition(": ")[0]) == (
        "AccessDenied",
        "dataset.source https://host/x.csv?sig=1 may not be read",
    )
    assert told.hint == "https:// takes no credentials: put the file into a bucket or on a volume"


def test_an_explained_failure_is_not_explained_again() -> None:
    own = TrainerError(ExitCode.DATA, "NoRows", "there are none")

    with pytest.raises(TrainerError) as caught, remote_failures("s3://b/x", "dataset"):
        raise own

    assert caught.value is own
