"""Watches that outlive their connection: they list again after 410, and begin again after a reset or a silence."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from finetune.api import Api, Gone, Interrupted, Resource
from finetune.errors import NoCluster, NotAllowed, NotFound
from finetune_api.base import JsonObject

_PAUSES: Final = (0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next try, by how many have failed since something came."""
_PATIENCE: Final = 60
"""Tries without an answer after which a watch gives up: nearly ten minutes."""
_POLL: Final = 2.0
"""Seconds between two reads of an object where a watch is not allowed."""
_POLL_ALL: Final = 5.0
"""The same of a list."""


async def watch_collection(api: Api, path: str, query: dict[str, str]) -> AsyncGenerator[tuple[str, JsonObject], None]:
    """Yield ADDED for each object that is there, SYNCED, then each change, for ever. Where the user may only list, it is listed again and again.

    After each list that a broken watch needs, what changed meanwhile is yielded, and SYNCED again.

    Raises:
        NoCluster: At the start, or after ten minutes without an answer.
        NotAllowed: The user may not list.
    """
    seen: dict[str, JsonObject] = {}
    version: str | None = None
    began = False
    watched = True
    failed = 0
    while True:
        try:
            if version is None:
                found, version = await api.list(path, query)
                for change in _differences(seen, found):
                    yield change
                yield "SYNCED", {}
            began, failed = True, 0
            if not watched:
                await asyncio.sleep(_POLL_ALL)
                version = None
                continue
            async with aclosing(api.watch(path, version, query)) as events:
                async for kind, raw in events:
                    version = str((raw.get("metadata") or {}).get("resourceVersion", version))
                    if kind != "BOOKMARK":
                        _remember(seen, kind, raw)
                        yield kind, raw
        except Gone:
            version = None
        except NotAllowed:
            if version is None:
                raise
            watched = False
        except (Interrupted, NoCluster):
            failed += 1
            if not began or failed > _PATIENCE:
                raise
            await asyncio.sleep(_PAUSES[min(failed, len(_PAUSES)) - 1])


async def watch_object(api: Api, resource: Resource, namespace: str, name: str) -> AsyncGenerator[JsonObject, None]:
    """Yield the object of that name as it is, and each time it changes. Where the user may only read it, it is read again and again.

    Raises:
        NotFound: There is none, or it was deleted.
    """
    last = await api.get(resource.path(namespace, name))
    yield last
    query = {"fieldSelector": f"metadata.name={name}"}
    try:
        async with aclosing(watch_collection(api, resource.path(namespace), query)) as changes:
            there = False
            async for kind, raw in changes:
                if kind == "DELETED" or (kind == "SYNCED" and not there):
                    raise NotFound(f"{name} was deleted")
                there = True
                if raw and _version(raw) != _version(last):
                    last = raw
                    yield raw
    except NotAllowed:
        while True:
            await asyncio.sleep(_POLL)
            raw = await api.get(resource.path(namespace, name))
            if _version(raw) != _version(last):
                last = raw
                yield raw


def _differences(seen: dict[str, JsonObject], found: list[JsonObject]) -> list[tuple[str, JsonObject]]:
    """What changed from `seen` to `found`, with `seen` brought up to date."""
    now = {_key(raw): raw for raw in found}
    changes = [("DELETED", raw) for key, raw in seen.items() if key not in now]
    for key, raw in now.items():
        if key not in seen:
            changes.append(("ADDED", raw))
        elif _version(seen[key]) != _version(raw):
            changes.append(("MODIFIED", raw))
    seen.clear()
    seen.update(now)
    return changes


def _remember(seen: dict[str, JsonObject], kind: str, raw: JsonObject) -> None:
    if kind == "DELETED":
        seen.pop(_key(raw), None)
    else:
        seen[_key(raw)] = raw


def _key(raw: JsonObject) -> str:
    return str((raw.get("metadata") or {}).get("uid"))


def _version(raw: JsonObject) -> str:
    return str((raw.get("metadata") or {}).get("resourceVersion"))
