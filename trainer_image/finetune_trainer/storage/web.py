"""A file of a web server, by https alone and from public addresses alone.

A URL, and each redirect, may lead anywhere: to http, to this pod, to the cloud's metadata service. So each hop is looked up
once, each address is checked, and the connection is made to that very address.
"""

import http.client
import ipaddress
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from finetune_api.addresses import is_public
from finetune_api.reasons import Reason
from finetune_api.report import ENV_PRIVATE_ADDRESSES
from finetune_trainer.base.errors import TrainerError, bad_configuration, data_error
from finetune_trainer.base.redaction import redact
from finetune_trainer.storage.errors import remote_failures
from finetune_trainer.storage.place import Entry

_MOST_HOPS = 5
_MOST_BYTES = 100 * 2**30
"""Of a file whose server does not say how large it is. It would fill the node's disk otherwise."""
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_CHUNK_BYTES = 2**20
_REDIRECTS = (301, 302, 303, 307, 308)
_URL = "/?:@!$&'()*+,;=%~-._[]"


class WebFile:
    """https://host/file, to read."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        redact.remember([urlsplit(uri).query])  # of a signed link, this is what lets one read

    def entries(self) -> dict[str, Entry]:
        """Return what the server says of the one file, which has no name below the address."""
        try:
            return {"": self._described("HEAD")}
        except TrainerError as error:
            if isinstance(error.__cause__, HttpError) and error.__cause__.status != http.HTTPStatus.NOT_FOUND:
                return {"": self._described("GET")}  # a link may be signed for that alone
            raise

    def _described(self, method: str) -> Entry:
        with self._answer(method) as answer:
            size = answer.getheader("Content-Length")
            tag = answer.getheader("ETag") or answer.getheader("Content-MD5") or answer.getheader("Last-Modified")
        return Entry(int(size) if size and size.isdecimal() else None, tag or "")

    def download(self, files: Mapping[str, Path]) -> None:
        """Write the content to the path of the only file."""
        with self._answer("GET") as answer, files[""].open("wb") as file:
            size = 0
            while chunk := answer.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > _MOST_BYTES:
                    raise data_error(
                        Reason.DATASET_UNREADABLE,
                        f"dataset.source {self.uri}: more than {_MOST_BYTES >> 30} GiB come, and no size was announced",
                        "put the file into a bucket or on a volume",
                    )
                file.write(chunk)
            if answer.length:
                raise ConnectionError(f"{answer.length} bytes of it did not come")

    @contextmanager
    def _answer(self, method: str) -> Iterator[http.client.HTTPResponse]:
        """The answer of the last hop."""
        url = self.uri
        with remote_failures(self.uri, "dataset"):
            for _ in range(_MOST_HOPS + 1):
                parts = self._checked(url)
                connection = _connection(parts)
                try:
                    target = quote(f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", safe=_URL)
                    connection.request(
                        method, target, headers={"Accept-Encoding": "identity", "User-Agent": "finetune"}
                    )
                    answer = connection.getresponse()
                    if answer.status in _REDIRECTS:
                        url = urljoin(url, answer.getheader("Location") or "")
                        redact.remember([urlsplit(url).query])
                        continue
                    if answer.status != http.HTTPStatus.OK:
                        raise HttpError(answer.status, answer.reason)
                    yield answer
                    return
                finally:
                    connection.close()
            raise _refused(self.uri, f"redirects more than {_MOST_HOPS} times")

    def _checked(self, url: str) -> SplitResult:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
            raise _refused(self.uri, f"leads to {parts.scheme}://{parts.hostname or ''}, and only https:// is followed")
        return parts


class HttpError(OSError):
    """An answer that is no file."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the server answers {status} {reason}")
        self.status = status


class _Connection(http.client.HTTPSConnection):
    """To an address of the host that was checked, by the certificate of its name."""

    def __init__(self, parts: SplitResult) -> None:
        self._parts = parts
        self._tls = ssl.create_default_context()
        super().__init__(parts.hostname or "", parts.port or 443, timeout=_READ_SECONDS, context=self._tls)

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if _is_allowed(entry[4][0])]
        if not allowed:
            addresses = ", ".join(sorted({str(entry[4][0]) for entry in found})[:3])
            raise _refused(self._parts.geturl().partition("?")[0], f"is at {addresses}, which is no public address")
        self.sock = self._tls.wrap_socket(_connected(allowed), server_hostname=self.host)


def _connection(parts: SplitResult) -> http.client.HTTPSConnection:
    """Return a connection to be made, through the proxy of the network if it has one for this host.

    The proxy looks the name up, and decides what it leads to: a name may be known to it alone. What is known here is checked all the same.
    """
    host, port = parts.hostname or "", parts.port or 443
    url = "" if proxy_bypass(host) else getproxies().get("https", "")
    proxy = urlsplit(url if "://" in url else f"http://{url}")  # as every other library takes it
    if not proxy.hostname:
        return _Connection(parts)
    if proxy.scheme != "http":
        raise bad_configuration(
            f"dataset.source {parts.geturl().partition('?')[0]}: the proxy's URL begins with {proxy.scheme}://, and files of web servers "
            "are fetched by way of http:// proxies alone",
            "name a proxy by http:// in HTTPS_PROXY of the Secret that the profile's proxy names (what goes through it is encrypted all the "
            "same), or put the file into a bucket or on a volume",
        )
    refused = sorted(address for address in _addresses(host) if not _is_allowed(address))
    if refused:
        raise _refused(parts.geturl(), f"is at {', '.join(refused[:3])}, which is no public address")
    tls = ssl.create_default_context()
    connection = http.client.HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=_READ_SECONDS, context=tls)
    credentials = f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()
    authorization = {"Proxy-Authorization": f"Basic {b64encode(credentials).decode()}"} if proxy.username else {}
    connection.set_tunnel(host, port, authorization)
    return connection


def _addresses(host: str) -> set[str]:
    """Return the addresses that a host has here; none where it is not known here. A number is an address too, such as 2130706433 or 127.1."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host.removesuffix("."), None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _connected(found: Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]) -> socket.socket:
    """Return a connection to the first of the addresses that answers."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.settimeout(_READ_SECONDS)
            return connection
    raise failure


def _is_allowed(address: object) -> bool:
    if os.environ.get(ENV_PRIVATE_ADDRESSES) == "allow":
        return True
    return is_public(ipaddress.ip_address(str(address).partition("%")[0]))


def _refused(uri: str, why: str) -> TrainerError:
    return data_error(
        Reason.ADDRESS_NOT_ALLOWED,
        f"dataset.source {uri.partition('?')[0]} {why}",
        "name a file that a public server gives by https; whoever runs the operator may allow private addresses",
    )
