"""The page in a real Chromium against a cluster in memory."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from tests.integration.chromium import chromium, in_chromium, new_visitor  # noqa: F401
from tests.unit.finetune.api_server import FTJ, FakeApi, Request
from tests.unit.finetune.conftest import api_server, kubeconfig  # noqa: F401

from finetune.async_client import AsyncClient
from finetune.portal import Portal
from finetune_page.access import OwnKubeconfig
from finetune_page.guard import Guard
from finetune_page.server import make_app, serve_on_loopback

TOKEN = "a-token-of-this-page"


class Server:
    """The page's server, which can be started anew at the same address."""

    def __init__(self, kubeconfig: Path) -> None:  # noqa: F811
        self.kubeconfig = kubeconfig
        self.portal = Portal()
        self.address = ""
        self.running = AsyncExitStack()

    def start(self) -> None:
        self.portal.run(self._start())

    def stop(self) -> None:
        self.portal.run(self.running.aclose())

    async def _start(self) -> None:
        client = await self.running.enter_async_context(AsyncClient(kubeconfig=str(self.kubeconfig)))
        app = make_app(OwnKubeconfig(client), Guard(TOKEN))
        port = int(self.address.rpartition(":")[2] or 0)
        self.address = await self.running.enter_async_context(serve_on_loopback(app, port))


@pytest.fixture
def server(api_server: FakeApi, kubeconfig: Path) -> Iterator[Server]:  # noqa: F811
    over = Event()

    def nothing_happens(_: Request) -> Iterator[Any]:
        over.wait()
        yield from ()

    api_server.answers["WATCH", FTJ] = nothing_happens
    server = Server(kubeconfig)
    server.start()
    yield server
    over.set()
    server.stop()
    server.portal.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """In a browser that knows nothing of any page of before."""
    with new_visitor(browser) as context:
        page = context.new_page()
        page.goto(f"{server.address}/?token={TOKEN}")
        yield page
