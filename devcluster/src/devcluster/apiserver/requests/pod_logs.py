"""Container logs for `kubectl logs`, which the API server reads from the pod's node."""

import aiohttp
from aiohttp import web

from devcluster.apiserver.errors import ApiError, bad_request, not_found
from devcluster.apiserver.objects import Object, lookup
from devcluster.apiserver.store import Store
from devcluster.apiserver.targets import Target

_PASSED_ON = ("follow", "tailLines", "timestamps", "previous", "sinceSeconds", "sinceTime", "limitBytes")


async def proxy(request: web.Request, store: Store, target: Target) -> web.StreamResponse:
    """Stream the log of a container. Raises ApiError 400 if it has none yet, or if one of several must be named."""
    pod = store.get("/pods", target.key)
    if pod is None:
        raise not_found("pods", "", target.name)
    container = _container(pod, request.query.get("container"))
    base = _node_address(store, pod)
    if base is None:
        return web.Response(status=204)
    url = f"{base}/containerLogs/{target.namespace}/{target.name}/{container}"
    passed = {name: request.query[name] for name in _PASSED_ON if name in request.query}
    timeout = aiohttp.ClientTimeout(total=None, connect=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, params=passed, ssl=False) as upstream,
        ):
            if upstream.status != 200:
                raise bad_request((await upstream.text()).strip())
            response = web.StreamResponse(headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            return response
    except aiohttp.ClientConnectionError as error:
        raise ApiError(500, "InternalError", f'Get "{url}": {error}') from error


def _container(pod: Object, asked: str | None) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [container["name"] for container in spec["containers"]]
    if asked:
        if asked not in (*names, *(container["name"] for container in spec.get("initContainers") or ())):
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) == 1:
        return str(names[0])
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")


def _node_address(store: Store, pod: Object) -> str | None:
    """Return the URL of the pod's node; None for a pod without a node."""
    node_name = pod["spec"].get("nodeName")
    if not node_name:
        return None
    node = store.get("/nodes", ("", node_name))
    if node is None:
        raise not_found("nodes", "", node_name)
    addresses = {entry["type"]: entry["address"] for entry in lookup(node, "status.addresses") or ()}
    port = lookup(node, "status.daemonEndpoints.kubeletEndpoint.Port")
    host = addresses.get("InternalIP") or addresses.get("Hostname")
    if not host or not port:
        raise ApiError(500, "InternalError", f"node {node_name} does not say where its logs are served")
    return f"https://{host}:{port}"
