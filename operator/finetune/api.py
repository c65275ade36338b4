"""Requests to the API server, on plain dicts, with errors that a person can act on."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from finetune.connection import Connection, connect, connect_as
from finetune.errors import AlreadyThere, FineTuneError, NoCluster, NotAllowed, NotFound, NotKnown, Refused, made_anew
from finetune_api import profile
from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION

if TYPE_CHECKING:
    import aiohttp

FINETUNEJOBS: Final = f"/apis/{GROUP}/{VERSION}"
CORE: Final = "/api/v1"
FIELD_MANAGER: Final = "finetune"
_TIMEOUT: Final = 30.0
_SILENCE: Final = 90.0
"""Longest silence of a watch, in seconds; bookmarks come each minute."""
_PAGE: Final = 500
_OTHER_UID: Final = re.compile(r"UID in (the )?precondition|metadata\.uid: Invalid value")
"""What the API server says to a change of an object of another uid: as a conflict, or as of a field that cannot change."""


class Gone(FineTuneError):
    """The version that a watch should go on from is too old: list again."""


class Interrupted(FineTuneError):
    """The server, or the network, gave no answer, or ended it early; it may do so the next time."""


@dataclass(frozen=True)
class Resource:
    """Where the objects of one kind are."""

    prefix: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, of a namespace's collection, or of all namespaces' collection."""
        parts = [self.prefix, *(["namespaces", quote(namespace, safe="")] if namespace else []), self.plural]
        return "/".join([*parts, *(quote(part, safe="") for part in (name, subresource) if part)])


JOBS: Final = Resource(FINETUNEJOBS, PLURAL)
PROFILES: Final = Resource(FINETUNEJOBS, profile.PLURAL)
PODS: Final = Resource(CORE, "pods")
EVENTS: Final = Resource(CORE, "events")


class Api:
    """The API server as one user sees it."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None, token: str | None = None) -> None:
        """Choose as `connection.connect` does, at the first request; with a `token`, as `connect_as`."""
        self._token = token
        self._kubeconfig = kubeconfig
        self._context = context
        self._connection: Connection | None = None
        self._users: Counter[Connection] = Counter()
        """How many requests and streams go on by each connection."""
        self._opening = asyncio.Lock()

    async def namespace(self) -> str:
        """Return the namespace of the kubeconfig's context."""
        return (await self._connected()).namespace

    async def close(self) -> None:
        """End every connection."""
        connections = {*self._users, *filter(None, [self._connection])}
        self._connection = None
        for each in connections:
            await each.api.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str) -> JsonObject:
        """Read an object."""
        return await self.request("GET", path)

    async def read(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """Read the object of that name. For who may list and not get it is listed, alone.

        Raises:
            NotFound: There is none.
            NotAllowed: The user may do neither; it names the right to get.
        """
        try:
            return await self.get(resource.path(namespace, name))
        except NotAllowed as denied:
            try:
                found, _ = await self.list(resource.path(namespace), {"fieldSelector": f"metadata.name={name}"})
            except NotAllowed:
                raise denied from None
        if not found:
            raise NotFound(f'{resource.plural} "{name}" not found in namespace {namespace}', (namespace, name))
        return found[0]

    async def pages(self, path: str, query: dict[str, str]) -> AsyncGenerator[tuple[list[JsonObject], str], None]:
        """Yield the objects of a collection page by page, each with the collection's version."""
        query = query | {"limit": str(_PAGE)}
        while True:
            page = await self.request("GET", path, query)
            metadata = page.get("metadata") or {}
            items = [each for each in page.get("items") or [] if isinstance(each, dict)]
            yield items, str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def list(self, path: str, query: dict[str, str]) -> tuple[list[JsonObject], str]:
        """Read a collection, and the version that a watch goes on from."""
        async with aclosing(self.pages(path, query)) as pages:
            found = [page async for page in pages]
        return [item for items, _ in found for item in items], found[-1][1]

    async def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """Send one request, and return the object in the answer.

        Raises:
            FineTuneError: NotFound, NotAllowed, NotKnown, Refused, AlreadyThere; NoCluster where no answer came.
        """
        async with self._open(method, path, query or {}, body, content_type, _TIMEOUT) as response:
            try:
                answer = json.loads(await response.read())
            except ValueError as error:
                raise NoCluster(f"the API server's answer to {method} {path} is not JSON: {error}") from error
        if not isinstance(answer, dict):
            raise NoCluster(f"the API server's answer to {method} {path} is no object")
        return answer

    async def watch(
        self, path: str, resource_version: str, query: dict[str, str]
    ) -> AsyncGenerator[tuple[str, JsonObject], None]:
        """Yield type and object of each change after `resource_version`, until the server ends the watch.

        Raises:
            Gone: List again.
            Interrupted: The connection broke, or nothing came for too long.
        """
        query = query | {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
        async with aclosing(self.lines(path, query)) as lines:
            async for line in lines:
                try:
                    event = json.loads(line)
                    kind, found = str(event["type"]), event["object"]
                except (ValueError, KeyError, TypeError) as error:
                    raise Interrupted(f"an event of the watch cannot be read: {error}") from error
                if not isinstance(found, dict):
                    raise Interrupted("an event of the watch holds no object")
                if kind == "ERROR":
                    message = str(found.get("message", "the watch failed"))
                    raise Gone(message) if found.get("code") == 410 else Interrupted(message)
                yield kind, found

    async def lines(
        self, path: str, query: dict[str, str], *, longest: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield each line of a stream, without its end; a line beyond `longest` bytes in several.

        Raises:
            Interrupted: The connection broke, or nothing came for too long.
        """
        async with self._open("GET", path, query, None, "application/json", None) as response:
            buffer = b""
            try:
                async for chunk in response.content.iter_any():
                    *whole, buffer = (buffer + chunk).split(b"\n")
                    for line in whole:
                        yield line
                    while longest and len(buffer) > longest:
                        yield buffer[:longest]
                        buffer = buffer[longest:]
            except (OSError, _client_error()) as error:
                raise Interrupted(f"the connection broke: {_brief(error)}") from error
            if buffer:
                yield buffer

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: JsonObject | None,
        content_type: str,
        seconds: float | None,
    ) -> AsyncIterator["aiohttp.ClientResponse"]:
        """A response of success; of a stream, one that may take any time but be silent no longer than `_SILENCE`."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=seconds, sock_connect=_TIMEOUT, sock_read=seconds or _SILENCE)
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._borrowed())
            response = await self._answer(connection, method, path, query, body, content_type, limit)
            if response.status == 401:
                # Tokens of kubeconfigs last minutes: whatever made this one is asked for another.
                response.close()
                if self._connection is connection:
                    self._connection = None
                connection = await stack.enter_async_context(self._borrowed())
                response = await self._answer(connection, method, path, query, body, content_type, limit)
            stack.callback(response.close)
            if response.status == 401:
                raise _not_known(connection.credentials, response.reason or "", await response.read())
            if not 200 <= response.status <= 299:
                raise _error(path, response.status, response.reason or "", await response.read())
            yield response

    async def _answer(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: dict[str, str],
        body: JsonObject | None,
        content_type: str,
        limit: "aiohttp.ClientTimeout",
    ) -> "aiohttp.ClientResponse":
        api = connection.api
        request = await api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type, "User-Agent": "finetune"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await api.call_api(*request, _request_timeout=limit)
        except (OSError, ValueError, _client_error()) as error:
            host = api.configuration.host
            raise NoCluster(f"the API server at {host} does not answer: {_brief(error)}") from error
        response: aiohttp.ClientResponse = answer.response
        return response

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        """The present connection. One that another has replaced is closed when its last user gives it back."""
        connection = await self._connected()
        self._users[connection] += 1
        try:
            yield connection
        finally:
            self._users[connection] -= 1
            if not self._users[connection]:
                del self._users[connection]
                if connection is not self._connection:
                    await connection.api.close()  # type: ignore[no-untyped-call]

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None:
                self._connection = (
                    await connect(self._kubeconfig, self._context) if self._token is None else connect_as(self._token)
                )
            return self._connection


def _nothing_there(path: str, message: str, details: Any) -> NotFound:
    """What a 404 means: no object of the name, in which namespace, or no FineTuneJobs in this cluster at all."""
    if not path.startswith(FINETUNEJOBS):
        return NotFound(message)
    if details.get("reason") != "NotFound" or "could not find the requested resource" in message:
        return NotFound(
            f"this cluster knows no FineTuneJobs ({GROUP}/{VERSION}): it is not the one that you mean (--context names another), or the "
            "operator's CRDs are not installed in it"
        )
    parts = [unquote(part) for part in path.removeprefix(FINETUNEJOBS).split("/")]
    return (
        NotFound(f"{message} in namespace {parts[2]}", (parts[2], parts[4])) if len(parts) == 5 else NotFound(message)
    )


def _client_error() -> type[Exception]:
    import aiohttp

    return aiohttp.ClientError


def _brief(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _not_known(credentials: str, reason: str, body: bytes) -> NotKnown:
    """Whose credentials the cluster does not take, and what to do."""
    _, message = _read_refusal(401, reason, body)
    return NotKnown(
        f"{message}: the cluster does not take the credentials, or no longer ({credentials}): log in to it again"
    )


def _read_refusal(status: int, reason: str, body: bytes) -> tuple[Any, str]:
    """The object that the API server sent, if it is one, and its words."""
    try:
        details = json.loads(body)
        return details, str(details["message"])
    except (ValueError, KeyError, TypeError):
        return {}, body.decode(errors="replace").strip() or f"{status} {reason}"


def _error(path: str, status: int, reason: str, body: bytes) -> FineTuneError:
    """What a refusal means to a person, in the API server's own words."""
    details, message = _read_refusal(status, reason, body)
    why = details.get("reason") if isinstance(details, dict) else None
    if status in (409, 422) and _OTHER_UID.search(message):
        return made_anew(unquote(path.rpartition("/")[2]))
    if status == 404:
        return _nothing_there(path, message, details)
    if status == 403:
        return NotAllowed(message)
    if status == 409 and why == "AlreadyExists":
        return AlreadyThere(message)
    if status == 410:
        return Gone(message)
    if status in (400, 409, 413, 415, 422):
        return Refused(message)
    if status == 429 or status >= 500:
        return NoCluster(f"the API server cannot answer now ({status}): {message}")
    return FineTuneError(f"{status} {reason}: {message}")
