"""One POST to a URL that a tenant chose: bounded in time and size, without redirects, and to no address that is not meant.

An address is checked where the connection to it is made, after the name was looked up for the last time: a name that leads
elsewhere the next moment gains nothing. Where the operator's environment has a proxy, that looks the name up and makes the connection; what
the name leads to here is checked all the same.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from finetune_api.addresses import is_public
from finetune_api.notify import host_of
from finetune_operator.status.announcements.notices import Answer

TIMEOUT_SECONDS: Final = 10.0
"""For all of an attempt."""
_LOOKUPS: Final = 256
"""At the same time. A thread is made where one is needed, and goes on looking up when its attempt is over: those that the names of one
namespace keep busy for four times as long as an attempt leave as many to all others."""
_HEADER_BYTES: Final = 4096
_NOT_PUBLIC: Final = "its host is at an address that is not public; the profile's notify.privateHosts may allow it"


class _Refused(OSError):
    """An address that may not be connected to."""


@dataclass
class _Guard:
    """Makes sockets for connections to public addresses alone."""

    refused: bool = field(default=False)

    def __call__(self, address: tuple[Any, Any, Any, Any, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, where = address
        if not is_public(ipaddress.ip_address(str(where[0]).partition("%")[0])):
            self.refused = True
            raise _Refused("not public")
        return socket.socket(family=family, type=kind, proto=protocol)


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own: one that is never answered keeps nobody else's from being looked up."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError."""
        look_up = lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)  # noqa: E731
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=each,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Poster:
    """Sends, and keeps no connection."""

    def __init__(self, proxies: Callable[[], Mapping[str, str]] = getproxies) -> None:
        """`proxies` returns the URL of a proxy by scheme."""
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="notify-lookup")
        self._proxies = proxies

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool, tls: ssl.SSLContext
    ) -> Answer:
        """Make one attempt. `private` is whether the host may be at an address that is not public."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._post(url, body, headers, private, tls)
        except TimeoutError:
            return Answer(message=f"no answer within {TIMEOUT_SECONDS:.0f} s")

    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str], private: bool, tls: ssl.SSLContext
    ) -> Answer:
        proxy, guard, resolver = self._proxy_for(url), _Guard(), _Resolver(self._threads)
        if proxy is not None and not private and await _is_known_as_private(host_of(url), resolver):
            return Answer(message=_NOT_PUBLIC)
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            use_dns_cache=False,
            force_close=True,
            ssl=tls,
            socket_factory=guard if proxy is None and not private else None,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            headers={"User-Agent": "finetune-operator"},
        )
        try:
            async with (
                session,
                session.post(url, data=body, headers=headers, proxy=proxy, allow_redirects=False) as response,
            ):
                return _answer(response.status, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(message=_NOT_PUBLIC if guard.refused else _in_words(error))

    def _proxy_for(self, url: str) -> str | None:
        found = self._proxies().get(url.partition(":")[0])
        return found if found and not proxy_bypass(host_of(url)) else None


async def _is_known_as_private(host: str, resolver: _Resolver) -> bool:
    """Whether a host has an address here that is not public. One that is not known here, the proxy may know."""
    try:
        found = await resolver.resolve(host)
    except (OSError, UnicodeError):
        return False
    return not all(is_public(ipaddress.ip_address(each["host"].partition("%")[0])) for each in found)


def _answer(status: int, retry_after: str | None) -> Answer:
    """What a status code says. The body is nobody's to show: it may hold anything."""
    if 200 <= status <= 299:
        return Answer(delivered=True)
    words = f"it answers {status} {_phrase(status)}".rstrip()
    if 300 <= status <= 399:
        return Answer(message=f"{words}, and redirects are not followed: name the URL that it leads to")
    asked = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdecimal() else 0.0
    return Answer(message=words, final=status == HTTPStatus.GONE, retry_after=min(asked, 86_400.0))


def _phrase(status: int) -> str:
    return next((each.phrase for each in HTTPStatus if each == status), "")


def _in_words(error: Exception) -> str:
    """Why there was no answer, without what the library says of the URL, which may be a secret."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host cannot be looked up"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not one of an authority that is trusted for its host"
        case aiohttp.ClientConnectorSSLError():
            return "it speaks no TLS, or another version"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the operator's proxy does not lead to it"
        case aiohttp.ClientConnectorError():
            return "it cannot be connected to"
        case aiohttp.InvalidURL():
            return "its URL is not one that can be connected to"
        case _:
            return "its answer is not one of HTTP, or breaks off"
