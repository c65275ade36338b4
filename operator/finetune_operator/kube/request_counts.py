"""Counts every request to the Kubernetes API where it leaves: ours, the official client's own, and Kopf's."""

from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from finetune_operator.metrics.instruments import KUBE_REQUESTS

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NO_ANSWER: Final = "0"


def counting() -> aiohttp.TraceConfig:
    """For an aiohttp.ClientSession: count each of its requests by verb, resource and status code."""
    trace = aiohttp.TraceConfig()

    async def on_end(_: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        KUBE_REQUESTS.labels(*request_labels(params.method, params.url), str(params.response.status)).inc()

    async def on_failure(
        _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        KUBE_REQUESTS.labels(*request_labels(params.method, params.url), _NO_ANSWER).inc()

    trace.on_request_end.append(on_end)
    trace.on_request_exception.append(on_failure)
    return trace


def request_labels(method: str, url: URL) -> tuple[str, str]:
    """Verb and resource of a request, as an audit log has them: ("update", "finetunejobs/status"), ("list", "pods").

    https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
    """
    parts = url.path.strip("/").split("/")
    # /api/v1/… or /apis/GROUP/VERSION/…; what remains is [namespaces, NAME,] RESOURCE [, NAME [, SUBRESOURCE]].
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if not rest:
        return "get", "discovery"
    resource = f"{rest[0]}/{rest[2]}" if len(rest) > 2 else rest[0]
    if url.query.get("watch") == "true":
        return "watch", resource
    verb = "get" if len(rest) > 1 else "list"
    return _VERBS.get(method, verb), resource
