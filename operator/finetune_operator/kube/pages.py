"""The parts in which a list comes, and the list that they make."""

from collections.abc import AsyncIterator
from typing import NamedTuple, TypeAlias

from finetune_api.base import JsonObject

Place: TypeAlias = tuple[str, str]
"""Namespace and name, by which an object is told from others of its kind. What is in no namespace has ""."""


class Page(NamedTuple):
    """A part of a list."""

    items: list[JsonObject]
    version: str
    """The resourceVersion of the whole list: what is older, and not in it, is not there. Of a list that is streamed the last part has it."""
    gone: frozenset[Place] = frozenset()
    """What parts before this one may have, and is not there any more. Another may have come in its place, and is in this part."""


async def whole_list(pages: AsyncIterator[Page]) -> tuple[list[JsonObject], str]:
    """All objects of a list, each once, and its resourceVersion."""
    found: dict[Place, JsonObject] = {}
    version = ""
    async for page in pages:
        for place in page.gone:
            found.pop(place, None)
        found |= {place_of(raw): raw for raw in page.items}
        version = page.version
    return [*found.values()], version


def place_of(raw: JsonObject) -> Place:
    """Where an object is."""
    metadata = raw["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata.get("name"))
