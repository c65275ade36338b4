"""A thin layer over the official asyncio client, for objects as plain JSON.

The node and the controllers read and write a dozen kinds and whatever a CRD adds, so they use the generic part of
`kubernetes.aio` (configuration, TLS, credentials, connection pool) and no generated model.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientTimeout
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import load_kube_config

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

REQUEST_TIMEOUT = ClientTimeout(total=30)
# Seconds. A server sends a bookmark at least once a minute: a watch that is silent for much longer is dead.
WATCH_TIMEOUT = ClientTimeout(total=None, sock_read=330)


class Gone(Exception):
    """A watch cannot resume from its resourceVersion: list again."""


@dataclass(frozen=True)
class Resource:
    """The URL of a kind. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of one object, or of a collection without `name`."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        parts += [part for part in (self.plural, quote(name) if name else None, subresource) if part]
        return "/".join(parts)

    def path_of(self, obj: Object, subresource: str | None = None) -> str:
        """Return the URL path of an object that was read from the server."""
        metadata = obj["metadata"]
        return self.path(metadata.get("namespace"), metadata["name"], subresource)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


class Client:
    """Requests to one API server. Each refusal raises the official `ApiException`, which has a `status`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def server(self) -> str:
        """The API server's URL, without a trailing slash."""
        return str(self._api.configuration.host).rstrip("/")

    async def get(self, path: str, **query: str) -> Object:
        return await self._request("GET", path, query=query)

    async def create(self, path: str, body: Object) -> Object:
        return await self._request("POST", path, body=body)

    async def replace(self, path: str, body: Object) -> Object:
        return await self._request("PUT", path, body=body)

    async def patch(self, path: str, body: Object, *, content_type: str = MERGE_PATCH) -> Object:
        return await self._request("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, *, uid: str | None = None, **options: Any) -> None:
        """Delete the object with this `uid`, if it still exists; `options` are fields of DeleteOptions."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", path, body=body)
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    async def watch(self, path: str, resource_version: str, **query: str) -> AsyncIterator[Object]:
        """Yield watch events, bookmarks among them, until the server ends the stream.

        Raises:
            Gone: the server's history no longer has `resource_version`.
        """
        query |= {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
        response = await self._send("GET", path, query, None, "application/json", WATCH_TIMEOUT)
        try:
            async for line in response.content:
                event: Object = json.loads(line)
                if event["type"] != "ERROR":
                    yield event
                elif event["object"].get("code") == 410:
                    raise Gone(event["object"].get("message"))
                else:
                    raise ApiException(status=event["object"].get("code"), reason=event["object"].get("message"))
        finally:
            response.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        response = await self._send(method, path, query or {}, body, content_type, REQUEST_TIMEOUT)
        result: Object = json.loads(await response.read())
        return result

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str,
        limits: ClientTimeout,
    ) -> Any:
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        response: Any = await self._api.call_api(*request, _request_timeout=limits)
        if response.status >= 400:
            text = (await response.read()).decode(errors="replace")
            if response.status == 410:
                raise Gone(text)
            raise ApiException.from_response(http_resp=response, body=text, data=None)
        return response.response


@asynccontextmanager
async def connect(kubeconfig: Path) -> AsyncIterator[Client]:
    """Connect to the current context of the kubeconfig."""
    configuration = Configuration()
    # Each watch holds a connection, so the pool must not limit them.
    configuration.connection_pool_maxsize = 0
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    async with ApiClient(configuration) as api:
        yield Client(api)


def status_message(error: ApiException) -> str:
    """Return the message of the Status with which the API server refused."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
