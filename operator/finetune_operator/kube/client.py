"""The Kubernetes API by the official client, on plain dicts: requests, their rate, and their errors.

Errors are the client's own (`kubernetes.aio.client.exceptions`): NotFoundException, ConflictException and so on;
TimeoutError and aiohttp.ClientError where there was no answer.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote, urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.client.exceptions import NotFoundException

from finetune_api import profile
from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION
from finetune_operator.job.names import MANAGER
from finetune_operator.kube.bounded_json import read_list, read_object
from finetune_operator.kube.budget import Budget
from finetune_operator.kube.errors import API_FAILURES, REFUSED_FOR_GOOD, NotLeading, brief, rest_of_list
from finetune_operator.kube.fence import FencedRequest, fenced
from finetune_operator.kube.pages import Page, whole_list
from finetune_operator.kube.request_counts import counting
from finetune_operator.kube.rest import Rest
from finetune_operator.kube.streams import events, streamed_list
from finetune_operator.kube.turns import Turns

_TIMEOUT_SECONDS = 30.0
_CLOSED = "handler is closed"
"""What uvloop says where a connection was closed in the moment in which it is used (https://github.com/aio-libs/aiohttp/issues/12336)."""
_PAGE = 250
"""Objects of a page. Beside a busy API server a list takes as long as it has pages."""
_STREAM_SECONDS = 300
_STREAM_SILENCE_SECONDS = 10.0
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_STREAM_SILENCE_SECONDS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """Where the objects of one kind are in the API."""

    prefix: str
    """Such as /apis/batch/v1."""
    plural: str
    longest: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Most bytes that are read of a top-level field of an object."""

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of an object, of a collection, or of all namespaces' collection."""
        parts = [self.prefix]
        if namespace:
            parts += ["namespaces", quote(namespace)]
        parts.append(self.plural)
        parts += [quote(part) for part in (name, subresource) if part]
        return "/".join(parts)


MAX_SPEC_BYTES = 64 * 1024
"""Of a FineTuneJob or FineTuneProfile. A larger one is from before its schema was bounded, and is refused by name."""

FINETUNEJOBS = Kind(f"/apis/{GROUP}/{VERSION}", PLURAL, {"spec": MAX_SPEC_BYTES})
PROFILES = Kind(f"/apis/{GROUP}/{VERSION}", profile.PLURAL, {"spec": MAX_SPEC_BYTES})
_LARGEST = {"spec": 256 * 1024, "status": 512 * 1024}
"""Ours are far smaller: a larger one merely has our label."""
JOBS = Kind("/apis/batch/v1", "jobs", _LARGEST)
PODS = Kind("/api/v1", "pods", _LARGEST)
NAMESPACES = Kind("/api/v1", "namespaces")
CONFIG_MAPS = Kind("/api/v1", "configmaps")
SECRETS = Kind("/api/v1", "secrets")
PVCS = Kind("/api/v1", "persistentvolumeclaims")
SERVICES = Kind("/api/v1", "services")
NETWORK_POLICIES = Kind("/apis/networking.k8s.io/v1", "networkpolicies")
EVENTS = Kind("/api/v1", "events")


async def connect() -> ApiClient:
    """A client by the service account of our pod or else by the kubeconfig of the environment.

    Raises kubernetes.aio.config.ConfigException where there is neither.
    """
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config()  # type: ignore[no-untyped-call]
    configuration = Configuration.get_default_copy()
    # Each watch has a connection for good: with a bound, those of a few dozen namespaces would leave none for anything else.
    configuration.connection_pool_maxsize = 0
    client = ApiClient(configuration)
    client.rest_client = Rest(configuration)
    # Where no proxy is set there is nothing to read from the environment, and aiohttp would start a thread for each request to find
    # a .netrc file.
    client.configuration.client_session_kwargs = {
        "trust_env": bool(getproxies()),
        "middlewares": (counting,),
        "request_class": FencedRequest,
    }
    return client


class Kube:
    """Requests to the API, at most `qps` a second in the long run and `burst` at once; each namespace has its share."""

    def __init__(
        self,
        client: ApiClient,
        *,
        qps: float,
        burst: int,
        may_write: Callable[[], float] = lambda: math.inf,
        turns: Turns | None = None,
    ) -> None:
        """`may_write` returns for how many seconds from now on writes are allowed; 0 if they are not. In `turns`, who waits for answers goes on."""
        self._client = client
        self._budget = Budget(per_second=qps, burst=burst)
        self._may_write = may_write
        self._turns = turns or Turns()
        self._streams = True
        """Whether the API server may know how to stream a list."""
        self._broken = set[str]()
        """The paths of the lists of which a part had come when their stream broke off: they are read by pages next."""

    async def get(
        self, kind: Kind, namespace: str, name: str, *, on_behalf_of: str = "", subresource: str | None = None
    ) -> JsonObject | None:
        """The object as it is now, or None if there is none.

        One that is in no namespace (`""`) is asked for at the cost of the one that needs it.
        """
        try:
            return await self._json("GET", kind, namespace or on_behalf_of, kind.path(namespace, name, subresource))
        except NotFoundException:
            return None

    async def create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        """Create an object; ConflictException if one of that name is there."""
        namespace = manifest["metadata"]["namespace"]
        return await self._json("POST", kind, namespace, kind.path(namespace), {"fieldManager": MANAGER}, manifest)

    async def apply(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        """Server-side apply: the operator owns the fields in `manifest` from now on, whoever set them."""
        metadata = manifest["metadata"]
        namespace, query = metadata["namespace"], {"fieldManager": MANAGER, "force": "true"}
        path = kind.path(namespace, metadata["name"])
        return await self._json("PATCH", kind, namespace, path, query, manifest, "application/apply-patch+yaml")

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: JsonObject, uid: str | None = None
    ) -> JsonObject:
        """Change single fields by a JSON merge patch; with a uid of this very object, and ConflictException if another has its name."""
        if uid is not None:
            patch = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        path, query = kind.path(namespace, name), {"fieldManager": MANAGER}
        return await self._json("PATCH", kind, namespace, path, query, patch, "application/merge-patch+json")

    async def replace(
        self, kind: Kind, manifest: JsonObject, subresource: str | None = None, *, in_turn: bool = False
    ) -> JsonObject:
        """Write an object whole; ConflictException unless it still has the resourceVersion of `manifest`.

        One that has waited for its turn elsewhere (`in_turn`) takes nothing of the budget.
        """
        metadata = manifest["metadata"]
        namespace = metadata["namespace"]
        path = kind.path(namespace, metadata["name"], subresource)
        query = {"fieldManager": MANAGER}
        return await self._json("PUT", kind, namespace, path, query, manifest, budgeted=not in_turn)

    async def replace_status(self, kind: Kind, manifest: JsonObject, *, in_turn: bool = False) -> JsonObject:
        """Write `status`; ConflictException unless the object still has the resourceVersion of `manifest`."""
        return await self.replace(kind, manifest, "status", in_turn=in_turn)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, *, after_children: bool = False) -> None:
        """Delete this very object, and what it owns, in the background or before it. Nothing happens if it is gone."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Foreground" if after_children else "Background"}
        try:
            await self._json("DELETE", kind, namespace, kind.path(namespace, name), {}, options)
        except NotFoundException:
            return

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        read: Callable[[JsonObject], JsonObject | None] = lambda raw: raw,
        **selectors: str,
    ) -> tuple[list[JsonObject], str]:
        """All objects, in pages, and the resourceVersion of the list. `selectors`: labelSelector, fieldSelector.

        Of each object only what `read` returns is ever kept; None leaves it out.
        """
        return await whole_list(self.pages(kind, namespace, read, selectors))

    async def pages(
        self,
        kind: Kind,
        namespace: str | None,
        read: Callable[[JsonObject], JsonObject | None] = lambda raw: raw,
        selectors: Mapping[str, str] = MappingProxyType({}),
        *,
        pause: float = 0.0,
    ) -> AsyncIterator[Page]:
        """A list, page by page, with `pause` seconds in between. All pages show the same moment, which an API server forgets after five minutes.

        Those that come later show what there is then of the rest, and have the version of the first one all the same: what is newer
        than that may be missing in pages that were read before.
        """
        query, version = {**selectors, "limit": str(_PAGE)}, ""
        while True:
            try:
                response = await self._limited("GET", namespace, kind.path(namespace), query)
            except ApiException as error:
                rest = rest_of_list(error)
                if rest is None or "continue" not in query:
                    raise
                response = await self._limited("GET", namespace, kind.path(namespace), {**query, "continue": rest})
            page = await read_list(response.content.iter_any(), kind.longest, read)
            version = version or page["metadata"]["resourceVersion"]
            yield Page(page["items"], version)
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]
            await asyncio.sleep(pause)

    async def list_to_watch(
        self,
        kind: Kind,
        namespace: str | None,
        read: Callable[[JsonObject], JsonObject | None] = lambda raw: raw,
        selectors: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[Page]:
        """A list of what is to be watched from then on: streamed, which an API server has in its cache, or else page by page.

        For the pages of a list of custom resources it reads etcd, and each object against its schema, from the second one on.
        https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
        """
        path, has_begun = kind.path(namespace), False
        if self._streams and path not in self._broken:
            try:
                async for page in self._stream(kind, namespace, read, selectors):
                    has_begun = True
                    yield page
                return
            except aiohttp.ClientConnectorError:
                raise
            except API_FAILURES as error:
                # What it is too busy for now, or has not the rights for, it may do the next time.
                self._streams = not isinstance(error, REFUSED_FOR_GOOD)
                if has_begun:
                    self._broken.add(path)
                    raise
                logger.info("%s are listed by pages, since they cannot be streamed: %s", kind.plural, brief(error))
        self._broken.discard(path)
        async for page in self.pages(kind, namespace, read, selectors):
            yield page

    async def _stream(
        self,
        kind: Kind,
        namespace: str | None,
        read: Callable[[JsonObject], JsonObject | None],
        selectors: Mapping[str, str],
    ) -> AsyncIterator[Page]:
        """See `streamed_list`."""
        query = {
            **selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": str(_STREAM_SECONDS),
        }
        response = await self._limited("GET", namespace, kind.path(namespace), query, limit=_STREAM_TIMEOUT)
        try:
            chunks = response.content.iter_any()
            async for page in streamed_list(chunks, kind.plural, kind.longest, read, _PAGE):
                yield page
        finally:
            response.close()

    async def watch(
        self,
        kind: Kind,
        namespace: str | None,
        resource_version: str,
        *,
        seconds: int,
        on_open: Callable[[], None] = lambda: None,
        **selectors: str,
    ) -> AsyncIterator[JsonObject]:
        """Events from `resource_version` on, bookmarks included, until the server ends the watch after `seconds`.

        `on_open` is called when the server has begun to answer, which may be long before the first event.

        Raises ApiException with the status that an ERROR event holds, such as 410 where the version is too old.
        """
        query = {
            **selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + _TIMEOUT_SECONDS, sock_connect=_TIMEOUT_SECONDS)
        response = await self._send("GET", kind.path(namespace), query, limit=timeout)
        on_open()
        try:
            async for event in events(response.content.iter_any(), kind.plural, kind.longest):
                yield event
        finally:
            response.close()

    async def _json(
        self,
        method: str,
        kind: Kind,
        namespace: str,
        path: str,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        *,
        budgeted: bool = True,
    ) -> JsonObject:
        if budgeted:
            response = await self._limited(method, namespace, path, query, body, content_type)
        else:
            response = await self._send(method, path, query, body, content_type)
        data = await response.read()
        await self._turns.take()
        return await read_object(data, kind.longest)

    async def _limited(
        self,
        method: str,
        namespace: str | None,
        path: str,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        limit: aiohttp.ClientTimeout | float = _TIMEOUT_SECONDS,
    ) -> aiohttp.ClientResponse:
        await self._budget.take(namespace or "")
        return await self._send(method, path, query, body, content_type, limit)

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        limit: aiohttp.ClientTimeout | float = _TIMEOUT_SECONDS,
    ) -> aiohttp.ClientResponse:
        url = f"{self._client.configuration.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        headers = {"Accept": "application/json", "Content-Type": content_type, **self._client.default_headers}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        if method != "GET":
            # Only now: the request may have waited long for its turn. `fenced` looks again as it leaves.
            limit = min(_TIMEOUT_SECONDS, self._may_write())
            if limit <= 0:
                raise NotLeading
        try:
            with fenced(self._may_write):
                answer = await self._client.call_api(method, url, headers, body, _request_timeout=limit)
        except RuntimeError as error:
            if _CLOSED not in str(error):
                raise
            raise ConnectionError(str(error)) from error
        if not 200 <= answer.status <= 299:
            await answer.read()  # type: ignore[no-untyped-call]
            raise ApiException.from_response(http_resp=answer, body=None, data=None)
        response: aiohttp.ClientResponse = answer.response
        return response
