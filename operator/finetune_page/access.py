"""As whom the page asks the API server."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from finetune.async_client import AsyncClient
from finetune_page.guard import user_token


class Access(Protocol):
    """Lends a client for the time of a request."""

    @property
    def own(self) -> bool:
        """Whether all else that this process may is the user's too, such as to read from a bucket."""

    def client(self, request: web.Request) -> AbstractAsyncContextManager[AsyncClient]:
        """Return the client by which this request is answered."""


@dataclass(frozen=True)
class OwnKubeconfig:
    """On a person's machine: every request is that person's."""

    shared: AsyncClient
    own: bool = True

    @asynccontextmanager
    async def client(self, request: web.Request) -> AsyncIterator[AsyncClient]:
        """Lend the one client."""
        yield self.shared


@dataclass(frozen=True)
class PassedToken:
    """In the cluster, behind an authenticating proxy: every request has the rights of the token that comes with it, never those of the page's pod."""

    own: bool = False

    @asynccontextmanager
    async def client(self, request: web.Request) -> AsyncIterator[AsyncClient]:
        """Make a client of the token, and close it after the request."""
        async with AsyncClient(token=user_token(request) or "") as client:
            yield client
