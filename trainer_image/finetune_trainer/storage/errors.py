"""Failures of a place that is read or written, most of them of a bucket or another remote one, explained the same way for all."""

import errno
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.base.redaction import redact
from finetune_trainer.storage.credentials import FIELDS, Role, credentials_hint, finds_none
from finetune_trainer.storage.neighbours import beside

Problem: TypeAlias = Literal["no credentials", "refused", "not allowed", "no bucket", "missing", "unreachable", "other"]

_NO_CREDENTIALS = frozenset(("NoCredentialsError", "CredentialUnavailableError", "NoAuthenticationInformation"))
_SAID_WITHOUT_CREDENTIALS = (
    # Google Cloud Storage; google-auth, of all places where it looked; adlfs.
    "Anonymous caller ",
    "default credentials were not found",
    "Must provide either a connection_string or account_name with credentials",
)
_CHAIN_FAILED = "failed to retrieve a token from the included credentials"
_SIGNED_IN = re.compile(
    r"Authentication failed|Microsoft Entra ID error|AADSTS"
    r"|\t(EnvironmentCredential|WorkloadIdentityCredential): (?!\1 authentication unavailable)"
)
"""What azure-identity says beside `_CHAIN_FAILED` where a place had credentials, and they did not do. It asks no place after that one."""
_REFUSED = frozenset(
    (
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidClientTokenId",
        "TokenRefreshRequired", "AuthenticationFailed", "InvalidAuthenticationInfo",
        # Classes of botocore, google-auth and azure-identity.
        "PartialCredentialsError", "TokenRetrievalError", "DefaultCredentialsError", "RefreshError",
        "ClientAuthenticationError",
    )
)  # fmt: skip
_NO_BUCKET = frozenset(("NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "InvalidResourceName"))
_UNREACHABLE = frozenset(
    (
        "SlowDown", "RequestTimeout", "ServerBusy", "OperationTimedOut", "InternalError", "ServiceUnavailable",
        # Classes of botocore, aiohttp, azure-core, fsspec, httpx and requests.
        "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
        "HTTPClientError", "ProxyConnectionError", "IncompleteReadError", "ClientPayloadError", "ClientConnectorError",
        "ServerDisconnectedError", "ServiceRequestError", "ServiceResponseError", "FSTimeoutError", "TransportError",
        "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "WriteError", "RemoteProtocolError", "ProxyError",
        "ChecksumError",
    )
)  # fmt: skip
_EXIT_CODES: dict[Role, ExitCode] = {
    "model": ExitCode.MODEL,
    "dataset": ExitCode.DATA,
    "output": ExitCode.OUTPUT,
}
_TRANSIENT_STATUSES = frozenset((408, 409, 412, 429, *range(500, 600))) - {501}
"""HTTP: too slow, at the same time as another, too often, or the service's own fault."""


def problem_of(error: BaseException) -> Problem:
    """Return what kind of problem an exception of fsspec's file systems, or of a library below them, means."""
    chain = list(causes(error))
    names = {type(cause).__name__ for cause in chain} | {_code(cause) for cause in chain}
    statuses = {_status(cause) for cause in chain}
    if names & _NO_BUCKET or any("bucket does not exist" in str(cause).lower() for cause in chain):
        return "no bucket"
    if names & _NO_CREDENTIALS or any(_says_that_none_are_given(str(cause)) for cause in chain):
        return "no credentials"
    if names & _REFUSED or 401 in statuses:
        return "refused"
    if 403 in statuses or any(isinstance(cause, PermissionError) or _is_refusal_of_gcsfs(cause) for cause in chain):
        return "not allowed"
    if any(_is_of_tls(cause) for cause in chain):
        return "other"
    # Before what is missing: for fsspec a web server that does not answer has no such file.
    network = (ConnectionError, TimeoutError, socket.gaierror)
    if names & _UNREACHABLE or statuses & _TRANSIENT_STATUSES or any(isinstance(cause, network) for cause in chain):
        return "unreachable"
    if statuses & {404} or any(isinstance(cause, FileNotFoundError) for cause in chain):
        return "missing"
    return "other"


def explain(error: BaseException, uri: str, role: Role) -> TrainerError:
    """Return the failure for people. What may pass by itself has the exit code INTERNAL: Kubernetes tries again."""
    scheme, where = uri.partition("://")[0], f"{FIELDS[role]} {uri}"
    tls = next((cause for cause in causes(error) if _is_of_tls(cause)), None)
    code, why = _EXIT_CODES[role], _first_line(tls or error)
    verb = "written" if role == "output" else "read"
    problem, hint = problem_of(error), credentials_hint(scheme, role)
    if problem == "refused" and finds_none(scheme, role):
        problem = "no credentials"
    match problem:
        case "no bucket":
            return bucket_not_found(uri, role)
        case "no credentials":
            message = f"{where} asks for credentials, and none are given: {why}"
            return TrainerError(code, Reason.CREDENTIALS_MISSING, message, hint)
        case "refused":
            message = f"{where}: the credentials are refused: {why}"
            return TrainerError(code, Reason.CREDENTIALS_REFUSED, message, hint)
        case "not allowed" if scheme == "https":
            return TrainerError(code, Reason.ACCESS_DENIED, f"{where} may not be read: {why}", hint)
        case "not allowed":
            message = f"{where} may not be {verb} with these credentials: {why}"
            hint = f"let them list, read{', write and delete' if role == 'output' else ''} there; {hint}"
            return TrainerError(code, Reason.ACCESS_DENIED, message, hint)
        case "missing":
            return nothing_there(uri, role)
        case "unreachable":
            hint = "let it be reached from where the trainer runs, and check AWS_ENDPOINT_URL where it is not Amazon's"
            message = f"{where} cannot be reached: {why}"
            return TrainerError(
                ExitCode.INTERNAL, Reason.STORAGE_UNREACHABLE, message, hint if scheme == "s3" else None
            )
    return TrainerError(code, Reason.STORAGE_FAILED, f"{where} cannot be {verb}: {type(error).__name__}: {why}")


def nothing_there(uri: str, role: Role, siblings: Iterable[str] | None = None) -> TrainerError:
    """Return the failure of a place that holds nothing, with what is in the folder above it, as far as that is known."""
    missing = {"model": Reason.MODEL_NOT_FOUND, "dataset": Reason.DATASET_NOT_FOUND, "output": Reason.OUTPUT_NOT_FOUND}
    above, _, name = uri.rpartition("/")
    near = beside(name, above, siblings)
    hint = f"check {FIELDS[role]}{', and that there is such a bucket' if uri.startswith('gs://') else ''}"
    return TrainerError(_EXIT_CODES[role], missing[role], f"{FIELDS[role]} {uri}: there is nothing{near}", hint)


def missing_path_hint(field: str, source: str) -> str:
    """Return what to do where there is nothing at a path that a field names."""
    if not source.startswith("file://"):
        return f"check {field}"
    return f"check {field}: file:// is the disk of what trains, in a cluster the pod's own; bring it into a bucket or onto a claim (pvc://claim/path)"


def bucket_not_found(uri: str, role: Role) -> TrainerError:
    bucket = uri.partition("://")[2].partition("/")[0]
    return TrainerError(
        _EXIT_CODES[role],
        Reason.BUCKET_NOT_FOUND,
        f"{FIELDS[role]} {uri}: there is no bucket '{bucket}'",
        "check the spelling, the account and the endpoint, or make it: the trainer makes no buckets",
    )


@contextmanager
def remote_failures(uri: str, role: Role) -> Iterator[None]:
    """Raise whatever goes wrong at the remote place as `explain` explains it; a full disk of this machine as such."""
    try:
        yield
    except (TrainerError, MemoryError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _scratch_full(uri, role) from error
        raise explain(error, uri, role) from error
    except Exception as error:  # each library below fsspec has classes of its own
        raise explain(error, uri, role) from error


def is_transient(error: TrainerError) -> bool:
    """Return whether trying again may help at a place that could be written before: Secrets are renewed, services come back.

    So may what no table of ours knows: a run is worth another try.
    """
    return error.reason not in (Reason.ACCESS_DENIED, Reason.BUCKET_NOT_FOUND)


def _scratch_full(uri: str, role: Role) -> TrainerError:
    return TrainerError(
        ExitCode.INTERNAL,
        Reason.SCRATCH_FULL,
        f"{FIELDS[role]} {uri}: no space is left on this machine's disk to keep a copy of it",
        "copies lie below XDG_CACHE_HOME (in a pod: the node's disk); free some, or use a node with more",
    )


def _is_of_tls(error: BaseException) -> bool:
    """Return whether TLS failed, which does not pass by itself. botocore has a class of its own for it."""
    return isinstance(error, ssl.SSLError) or type(error).__name__ == "SSLError"


def _says_that_none_are_given(text: str) -> bool:
    if _CHAIN_FAILED in text:
        return not _SIGNED_IN.search(text)
    return any(said in text for said in _SAID_WITHOUT_CREDENTIALS)


def _is_refusal_of_gcsfs(error: BaseException) -> bool:
    """Return whether gcsfs was refused: it raises a bare OSError for a 403."""
    return isinstance(error, OSError) and str(error).startswith("Forbidden: ")


def _code(error: BaseException) -> str:
    """Return the service's own name for an error: botocore keeps it in a response, azure-core in error_code."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _status(error: BaseException) -> int:
    """Return the HTTP status: of botocore, azure-core (status_code), gcsfs (code), aiohttp (status); 0 if there is none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    found = (getattr(holder, name, None) for holder in (error, response) for name in ("status_code", "status", "code"))
    return next((int(status) for status in found if isinstance(status, int) and 100 <= status < 600), 0)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    if _CHAIN_FAILED in str(error) and _SIGNED_IN.search(str(error)):
        lines = [line for line in lines if line.startswith("\t")][-1:]
    text = lines[0].strip() if lines else type(error).__name__
    return redact(text)[:300]
