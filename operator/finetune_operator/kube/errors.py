"""Failures of requests to the API server."""

import json
import re
import socket
from http import HTTPStatus
from typing import Final

import aiohttp
from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import BadRequestException, ForbiddenException, UnprocessableEntityException
from kubernetes.aio.config import ConfigException

from finetune_operator.metrics.instruments import UNEXPECTED_ERRORS

_NOT_A_STATUS: Final = (ValueError, KeyError, TypeError, RecursionError)
"""What reading an answer may raise that is none of Kubernetes': a proxy may have given it."""
_LONGEST_RETRY_AFTER: Final = 30.0
"""No answer makes anything wait for longer, whatever it asks for."""

_OF_ADMISSION: Final = re.compile("webhook|admission ?policy", re.IGNORECASE)
_NO_ANSWER: Final = "no answer"
_LONGEST_MESSAGE: Final = 512
"""Characters of what the API server says, in a line of the log."""
_OF_ANYBODY: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
"""Answers that are about who asks, and not about what for."""


class NotLeading(Exception):
    """A write that was not sent, since this process does not hold the Lease, or may not hold it any more.

    It says the same of every write: what a thousand jobs meet for one cause is logged once.
    """

    def __init__(self) -> None:
        super().__init__("writes are for the leader alone")


API_FAILURES = (ApiException, aiohttp.ClientError, OSError, ValueError, NotLeading, ConfigException)
"""Every failure that may pass: a refusal, no connection, no answer in time (an OSError), an answer that cannot be read, a lost Lease,
a token whose file is being written."""

REFUSED_FOR_NOW = (ForbiddenException,)
"""Rights that are lacking, a quota, a namespace that goes away, a policy: it may change."""
REFUSED_FOR_GOOD = (BadRequestException, UnprocessableEntityException)
"""What the API server finds invalid stays so."""
REFUSED = (*REFUSED_FOR_NOW, *REFUSED_FOR_GOOD)


def unexpected(error: BaseException, task: str) -> BaseException | None:
    """Return an error that nobody has thought of, for its traceback in the log, and count it. None of one that may pass.

    `task` is what met it, and goes on.
    """
    if isinstance(error, API_FAILURES):
        return None
    UNEXPECTED_ERRORS.labels(task).inc()
    return error


def brief(error: BaseException) -> str:
    """A failure on one line, without a request's headers."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__} {error}".strip()


def explained(error: BaseException) -> str:
    """The same with what the API server says of it."""
    message = api_message(error) if isinstance(error, ApiException) else ""
    return f"{brief(error)}: {message[:_LONGEST_MESSAGE]}" if message and message not in brief(error) else brief(error)


def shared_cause(error: BaseException) -> str | None:
    """What keeps the API server from answering anybody, as the `cause` of a log line: all that meet it are one line a minute (RepeatsCounted).

    The Lease, a thousand jobs, and the watches of a hundred namespaces have this one thing to say, whichever way each of them lost its
    connection. None where the answer is about what was asked for.
    """
    if not isinstance(error, ApiException):
        # Another OSError is of a file, such as on a disk that is full.
        if isinstance(error, aiohttp.ClientError | ConnectionError | TimeoutError | socket.gaierror):
            return _NO_ANSWER
        return type(error).__name__ if isinstance(error, NotLeading) else None
    status = int(error.status or 0)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Such as that etcd does not answer. What is said of one object differs from what is said of others.
        return None if _is_about_object(error) else f"{status} {api_message(error)[:_LONGEST_MESSAGE]}"
    return str(status) if status in _OF_ANYBODY or status > HTTPStatus.INTERNAL_SERVER_ERROR else None


def cause_of(error: BaseException, about: object) -> str:
    """The `cause` of a log line on what failed for one object: the shared one, or one of its own.

    What a webhook does not take of one job must not hide what it does not take of another.
    """
    shared = shared_cause(error)
    if shared is not None:
        return shared
    is_own = isinstance(error, ApiException) and (error.status != HTTPStatus.FORBIDDEN or _is_about_object(error))
    return f"{about}: {brief(error)}" if is_own else brief(error)


def _is_about_object(error: ApiException) -> bool:
    """Whether it comes of a webhook or a policy, which look at each object by itself."""
    return _OF_ADMISSION.search(api_message(error)) is not None


def api_message(error: ApiException) -> str:
    """The message of the API server, without the request's headers."""
    try:
        message = json.loads(error.body or "")["message"]
    except _NOT_A_STATUS:
        message = error.reason
    return str(message)


def rest_of_list(error: ApiException) -> str | None:
    """The token for the rest of a list as it is now, which comes with 410 where its begin is too long ago for the whole of it.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
    """
    if error.status != HTTPStatus.GONE:
        return None
    try:
        token = json.loads(error.body or "")["metadata"]["continue"]
    except _NOT_A_STATUS:
        return None
    return token if isinstance(token, str) and token else None


def retry_after(error: Exception) -> float | None:
    """The seconds to wait that the API server asks for with 429 or 503, as far as that is sensible."""
    if not isinstance(error, ApiException) or error.headers is None:
        return None
    return sensible_wait(error.headers.get("Retry-After", ""))


def sensible_wait(retry_after: str) -> float | None:
    """The seconds that a header `Retry-After` asks for, or as many as anything waits at the most; None if it says nothing."""
    try:
        asked = float(retry_after)
    except ValueError:
        return None
    return min(asked, _LONGEST_RETRY_AFTER) if asked >= 0 else None
