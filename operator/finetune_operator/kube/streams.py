"""What a watch brings, read line by line."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from kubernetes.aio.client import ApiException

from finetune_api.base import JsonObject
from finetune_operator.kube.bounded_json import kept, read_event, warn_once
from finetune_operator.kube.pages import Page, Place, place_of

_AT_ONCE = 50
"""Lines, before the event loop goes on with everything else: what has come already, which may be thousands, is there without a wait."""

_END_OF_LIST = "k8s.io/initial-events-end"
"""Annotation of the bookmark after the last object of a list that is streamed."""


async def events(chunks: AsyncIterator[bytes], plural: str, longest: Mapping[str, int]) -> AsyncIterator[JsonObject]:
    """The events of a watch of objects of this kind, bookmarks included.

    `longest` is for fields that may not be as long as etcd takes them, in bytes. Raises ApiException with the status that an ERROR event holds,
    such as 410 where the version is too old.
    """
    # Not by lines of the stream: aiohttp bounds their length, and an object may be longer.
    buffer = b""
    async for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for place, line in enumerate(filter(None, lines)):
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)
            event = await _event(line, plural, longest)
            if event is not None:
                yield event


async def streamed_list(
    chunks: AsyncIterator[bytes],
    plural: str,
    longest: Mapping[str, int],
    read: Callable[[JsonObject], JsonObject | None],
    most: int,
) -> AsyncIterator[Page]:
    """The objects with which a watch begins, by parts of so many at the `most`, until all is told that there was when it was asked for.

    Of each object what `read` returns. What is deleted meanwhile comes as an event as well, before the end of the list. Raises ValueError
    where the stream ends too early, and as `events` does.
    """
    items, gone = dict[Place, JsonObject](), set[Place]()
    async for event in events(chunks, plural, longest):
        kind, raw = event["type"], event["object"]
        if kind == "BOOKMARK":
            if _END_OF_LIST in (raw["metadata"].get("annotations") or {}):
                yield Page([*items.values()], raw["metadata"]["resourceVersion"], frozenset(gone))
                return
            continue
        each = kept(raw, read) if kind in ("ADDED", "MODIFIED") else None
        if each is not None:
            items[place_of(raw)] = each
        elif kind in ("MODIFIED", "DELETED"):
            items.pop(place_of(raw), None)
            gone.add(place_of(raw))
        if len(items) + len(gone) >= most:
            yield Page([*items.values()], "", frozenset(gone))
            items, gone = {}, set()
    raise ValueError(f"the list of {plural} is not whole")


async def _event(line: bytes, plural: str, longest: Mapping[str, int]) -> JsonObject | None:
    """None for one that is no event, or whose object cannot be told from others. Raises ApiException."""
    try:
        event = await read_event(line, longest)
    except ValueError as error:
        warn_once(f"an event of the watch of {plural}", f"cannot be read: {error}")
        return None
    raw = event.get("object")
    if event.get("type") == "ERROR" and isinstance(raw, dict):
        raise ApiException(status=raw.get("code", 500), reason=raw.get("message"))
    if not isinstance(raw, dict) or not isinstance(raw.get("metadata"), dict) or "type" not in event:
        warn_once(f"an event of the watch of {plural}", "is not an object's")
        return None
    return event
