"""The API server as an aiohttp application, and the namespaces of a new cluster."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trustme
from aiohttp import web
from aiohttp.typedefs import Handler

from devcluster.apiserver.errors import ApiError, no_such_path, unauthorized
from devcluster.apiserver.requests import discovery, openapi
from devcluster.apiserver.requests.handlers import USER, Handlers, answer
from devcluster.apiserver.requests.reviews import Reviews
from devcluster.apiserver.requests.tokens import ANONYMOUS, ISSUER, Tokens
from devcluster.apiserver.resources import Registry
from devcluster.apiserver.store import Store
from devcluster.apiserver.targets import parse_target
from devcluster.apiserver.writes.writer import WriteOptions, Writer

_OPEN = ("/healthz", "/livez", "/readyz", "/version")
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True)
class Serving:
    """A running server: its URL, CA certificate (PEM) and administrator's token."""

    url: str
    ca: bytes
    token: str
    store: Store


class ApiServer:
    """The state of one cluster, and the HTTP application that serves it."""

    def __init__(self) -> None:
        self.store, self.registry = Store(), Registry()
        self.tokens = Tokens(self.store)
        self.writer = Writer(self.store, self.registry)
        self.handlers = Handlers(self.store, self.registry, self.writer, Reviews(self.store, self.tokens, self.writer))
        for name in _NAMESPACES:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.writer.create(parse_target("/api/v1/namespaces", self.registry), body, WriteOptions("kube-apiserver"))

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._errors, self._authentication], client_max_size=3 * 1024**2)
        for path in ("/healthz", "/livez", "/readyz"):
            app.router.add_get(path, self._healthy)
        app.router.add_get("/version", self._version)
        app.router.add_get("/api", self._core)
        app.router.add_get("/apis", self._groups)
        app.router.add_get("/api/{version}", self._resources)
        app.router.add_get("/apis/{group}/{version}", self._resources)
        app.router.add_get("/openapi/v3", self._openapi_index)
        app.router.add_get("/openapi/v3/{path:.+}", self._openapi_v3)
        app.router.add_get("/openapi/v2", self._openapi_v2)
        app.router.add_route("*", "/{path:.*}", self._resource)
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            refusal = error
        except web.HTTPNotFound:
            refusal = no_such_path()
        except web.HTTPRequestEntityTooLarge:
            refusal = ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")
        return answer(refusal.status(), refusal.code)

    @web.middleware
    async def _authentication(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authenticate the user. There is no RBAC: every authenticated user may do everything."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            try:
                request[USER], _ = self.tokens.authenticate(token.strip(), [ISSUER])
            except ValueError:
                raise unauthorized() from None
        elif request.path in _OPEN:
            request[USER] = ANONYMOUS
        else:
            raise ApiError(403, "Forbidden", f'forbidden: User "{ANONYMOUS.username}" cannot get path "{request.path}"')
        return await handler(request)

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _version(self, request: web.Request) -> web.Response:
        return answer(dict(discovery.VERSION))

    async def _core(self, request: web.Request) -> web.Response:
        if discovery.wants_aggregated(request.headers.get("Accept", "")):
            body, content_type = discovery.aggregated(self.registry, core=True)
            return answer(body, content_type=content_type)
        return answer(discovery.core_versions(request.host))

    async def _groups(self, request: web.Request) -> web.Response:
        if discovery.wants_aggregated(request.headers.get("Accept", "")):
            body, content_type = discovery.aggregated(self.registry, core=False)
            return answer(body, content_type=content_type)
        return answer(discovery.group_list(self.registry))

    async def _resources(self, request: web.Request) -> web.Response:
        group, version = request.match_info.get("group", ""), request.match_info["version"]
        return answer(discovery.resource_list(self.registry, group, version))

    async def _openapi_index(self, request: web.Request) -> web.Response:
        return answer(openapi.index(self.registry))

    async def _openapi_v3(self, request: web.Request) -> web.Response:
        return answer(openapi.document_v3(self.registry, request.match_info["path"]))

    async def _openapi_v2(self, request: web.Request) -> web.Response:
        content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        return web.Response(body=openapi.EMPTY_V2, headers={"Content-Type": content_type})

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        return await self.handlers.handle(request)


@contextlib.asynccontextmanager
async def serve(port: int = 0) -> AsyncIterator[Serving]:
    """Serve a new cluster's API on 127.0.0.1 while the context lasts; port 0 chooses a free one."""
    server = ApiServer()
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ("127.0.0.1", "localhost", "kubernetes.default.svc")
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        address = runner.addresses[0]
        url = f"https://{address[0]}:{address[1]}"
        yield Serving(url, authority.cert_pem.bytes(), server.tokens.admin, server.store)
    finally:
        await runner.cleanup()
