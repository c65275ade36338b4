"""The page's server: the files of the page, and what they ask for."""

import importlib.util
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from finetune.async_client import AsyncClient
from finetune_page.access import Access, OwnKubeconfig, PassedToken
from finetune_page.guard import HEALTH, Guard, add_headers, guarded
from finetune_page.handlers import ACCESS, errors_as_json, routes

STATIC: Final = Path(__file__).parent / "static"
_PLOTS: Final = ("uPlot.iife.js", "uPlot.min.css")
_PAGES: Final = ("/", "/jobs/{namespace}/{name}", "/compare", "/usage")
"""Addresses of the page. What they show is chosen in the browser."""


def page_for_kubeconfig(
    namespace: str | None, kubeconfig: str | None, context: str | None
) -> tuple[web.Application, Guard]:
    """Return the page for one person on their own machine, who may what their kubeconfig may; and the guard, which has its token."""
    client = AsyncClient(namespace, kubeconfig=kubeconfig, context=context)
    # Browsers send a cookie to every port of a host: each page that is open has its own name for it.
    guard = Guard(secrets.token_urlsafe(32), cookie=f"finetune-{secrets.token_hex(8)}")

    async def closing(_: web.Application) -> AsyncIterator[None]:
        yield
        await client.close()

    app = make_app(OwnKubeconfig(client), guard)
    app.cleanup_ctx.append(closing)
    return app, guard


def page_behind_proxy() -> web.Application:
    """Return the page for a pod behind an authenticating proxy: each request may what its user's token may."""
    return make_app(PassedToken(), Guard(None))


@asynccontextmanager
async def serve_on_loopback(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve until the context is left, and give the address. Port 0 takes a free one.

    Raises:
        OSError: The port is taken, or not for this user.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def make_app(access: Access, guard: Guard) -> web.Application:
    """Return the page."""
    app = web.Application(middlewares=[guarded(guard), errors_as_json], client_max_size=1 << 16)
    app.on_response_prepare.append(add_headers)
    app[ACCESS] = access
    app.add_routes(routes)
    app.router.add_get(HEALTH, _healthy)
    for path in _PAGES:
        app.router.add_get(path, _page)
    for name in _PLOTS:
        app.router.add_get(f"/plots/{name}", _plots)
    app.router.add_static("/static", STATIC)
    return app


async def _page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _plots(request: web.Request) -> web.FileResponse:
    return web.FileResponse(_plot_assets() / request.path.rpartition("/")[2])


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _plot_assets() -> Path:
    """Files of uPlot, which a package brings along. They are found without importing it: it loads numpy and more."""
    spec = importlib.util.find_spec("uplot")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("uplot-python is not installed")
    return Path(spec.submodule_search_locations[0]) / "static"
