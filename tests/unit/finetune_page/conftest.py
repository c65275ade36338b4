"""The page in this process, against an API server in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.unit.finetune.conftest import api_server, kubeconfig  # noqa: F401

from finetune.async_client import AsyncClient
from finetune_page.access import OwnKubeconfig
from finetune_page.guard import Guard
from finetune_page.server import make_app

Browser = TestClient[web.Request, web.Application]
Page = Callable[[], AbstractAsyncContextManager[Browser]]


@pytest.fixture
def page(kubeconfig: Path) -> Page:  # noqa: F811
    """Open the page, as the one whom a proxy let through."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Browser]:
        async with AsyncClient(kubeconfig=str(kubeconfig)) as cluster:
            app = make_app(OwnKubeconfig(cluster), Guard(None))
            async with TestClient(TestServer(app), headers={"Authorization": "Bearer of-a-user"}) as browser:
                yield browser

    return opened
