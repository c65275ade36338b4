"""Watches that outlive their connection: they list again after 410, and begin again after a reset or a silence."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeAlias

from finetune.api import Api, Gone, Interrupted, Resource
from finetune.errors import NoCluster, NotAllowed, NotFound, NotKnown
from finetune_api.base import JsonObject

_PAUSES: Final = (0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next try, by how many have failed since something came; the first of them also after a watch that the server ended, be it at once."""
_PATIENCE: Final = 60
"""Tries without an answer after which a watch gives up: nearly ten minutes."""
_STEADY: Final = 5.0
"""Seconds for which a watch must have been open for its break to be none of the API server's: proxies cut those that are quiet."""
_POLL: Final = 2.0
"""Seconds between two reads of an object where a watch is not allowed."""
_POLL_ALL: Final = 5.0
"""The same of a list."""

Remember: TypeAlias = Callable[[JsonObject], JsonObject]


def _whole(raw: JsonObject) -> JsonObject:
    return raw


async def watch_collection(
    api: Api,
    path: str,
    query: dict[str, str],
    *,
    patience: float = _PATIENCE,
    remember: Remember = _whole,
    known: Iterable[JsonObject] = (),
) -> AsyncGenerator[tuple[str, JsonObject], None]:
    """Yield ADDED for each object that is there, SYNCED, then each change, for ever. Where the user may only list, it is listed again and again.

    After each list that a broken watch needs, what changed meanwhile is yielded, and SYNCED again. As long as the API server does not answer,
    LOST with its `message` is yielded after each try.

    Args:
        patience: Tries without an answer after which to give up.
        remember: What is kept of an object, which is what DELETED brings of one that was deleted while nobody watched. At least its metadata.
        known: Objects that were read before: of them only changes are yielded.

    Raises:
        NoCluster: Before any object is known, or after that many tries.
        NotAllowed: The user may not list.
    """
    watch = _Watch(api, path, query, remember, {_key(raw): remember(raw) for raw in known})
    failed = 0
    while True:
        began, pause = monotonic(), _PAUSES[0]
        try:
            async with aclosing(watch.changes()) as changes:
                async for kind, raw in changes:
                    failed = 0
                    if kind != "BOOKMARK":
                        yield kind, raw
        except Gone:
            watch.version = None
        except (Interrupted, NoCluster) as error:
            # NoCluster is a watch that did not come about.
            steady = isinstance(error, Interrupted) and monotonic() - began >= _STEADY
            failed = 1 if steady else failed + 1
            if not (watch.listed or watch.seen) or failed > patience:
                raise
            if failed > 1:
                # A watch that was cut is taken up where it was. What cannot be, is listed: the answer ends the time of not knowing.
                watch.version = None
                yield "LOST", {"message": str(error)}
            pause = _PAUSES[min(failed, len(_PAUSES)) - 1]
        await asyncio.sleep(pause)


@dataclass
class _Watch:
    """A collection, and how far it is known."""

    api: Api
    path: str
    query: dict[str, str]
    remember: Remember
    seen: dict[str, JsonObject] = field(default_factory=dict)
    version: str | None = None
    """What a watch goes on from; None where it must be listed."""
    listed: bool = False
    denied: bool = False
    """Whether the user may only list."""

    async def changes(self) -> AsyncGenerator[tuple[str, JsonObject], None]:
        """Yield what changed, until the watch ends; BOOKMARK where nothing did."""
        if self.version is None:
            async with aclosing(self._list()) as listed:
                async for kind, raw in listed:
                    yield kind, raw
        if self.denied:
            await asyncio.sleep(_POLL_ALL)
            self.version = None
            return
        try:
            async with aclosing(self.api.watch(self.path, self.version or "", self.query)) as events:
                async for kind, raw in events:
                    self.version = _version(raw) or self.version
                    if kind == "DELETED":
                        self.seen.pop(_key(raw), None)
                    elif kind != "BOOKMARK":
                        self.seen[_key(raw)] = self.remember(raw)
                    yield kind, raw
        except NotKnown:
            # Whether credentials are taken again tells the list, and the next watch goes on from it.
            self.version = None
        except NotAllowed:
            self.denied = True

    async def _list(self) -> AsyncGenerator[tuple[str, JsonObject], None]:
        """Yield what changed since it was last seen, and SYNCED. It holds a page at a time."""
        gone = dict(self.seen)
        version = ""
        async with aclosing(self.api.pages(self.path, self.query)) as pages:
            async for items, its_version in pages:
                version = its_version
                for raw in items:
                    before = gone.pop(_key(raw), None)
                    self.seen[_key(raw)] = self.remember(raw)
                    if before is None or _version(before) != _version(raw):
                        yield "MODIFIED" if before else "ADDED", raw
        for key, raw in gone.items():
            del self.seen[key]
            yield "DELETED", raw
        self.version, self.listed = version, True
        yield "SYNCED", {}


async def watch_object(api: Api, resource: Resource, namespace: str, name: str) -> AsyncGenerator[JsonObject, None]:
    """Yield the object of that name as it is, and each time it changes. Where the user may only read it, it is read again and again.

    Raises:
        NotFound: There is none, or it was deleted.
    """
    async with aclosing(watch_one(api, resource, namespace, name)) as changes:
        async for kind, raw in changes:
            if kind == "MODIFIED":
                yield raw


async def watch_one(
    api: Api, resource: Resource, namespace: str, name: str, *, patience: float = _PATIENCE
) -> AsyncGenerator[tuple[str, JsonObject], None]:
    """Yield MODIFIED and the object as it is, and each time it changes; SYNCED and LOST as `watch_collection` does.

    Raises:
        NotFound: There is none, or it was deleted.
    """
    last = await api.read(resource, namespace, name)
    yield "MODIFIED", last
    query = {"fieldSelector": f"metadata.name={name}"}
    path = resource.path(namespace)
    try:
        async with aclosing(watch_collection(api, path, query, patience=patience, known=[last])) as changes:
            async for kind, raw in changes:
                if kind == "DELETED" and _key(raw) == _key(last):
                    raise NotFound(f"{name} was deleted")
                if kind in ("SYNCED", "LOST"):
                    yield kind, raw
                elif kind != "DELETED":
                    last = raw
                    yield "MODIFIED", raw
    except NotAllowed:
        while True:
            await asyncio.sleep(_POLL)
            raw = await api.read(resource, namespace, name)
            if _version(raw) != _version(last):
                last = raw
                yield "MODIFIED", raw


def _key(raw: JsonObject) -> str:
    return str((raw.get("metadata") or {}).get("uid"))


def _version(raw: JsonObject) -> str:
    return str((raw.get("metadata") or {}).get("resourceVersion", ""))
