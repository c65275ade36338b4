"""Answers of the API server, read so that one object cannot harm the others.

An API server takes JSON nested 10,000 deep and objects of 1.5 MiB, of which Python's parser, copies and caches die, or
grow by a factor of thirty. So an answer is not parsed whole: it is cut into objects as it comes in, each object into its
top-level fields (metadata, spec, status), and each of these is parsed by itself, if it is neither too deep nor too long.
What is not parsed is left out, and the object says so under UNREADABLE. managedFields are never parsed: they are half
of an object, as deep as its spec, and nothing here reads them.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import TTLCache

from finetune_api.base import JsonObject

UNREADABLE: Final = "finetune.dev/unreadable"
"""A field that we add to an object: what was left out of it, by the name of the top-level field, and why."""
MAX_DEPTH: Final = 64
"""Kubernetes' own deepest kinds, pods with their affinities, come to 16."""
MAX_FIELD_BYTES: Final = 3 * 512 * 1024
"""What etcd takes at most."""
MAX_METADATA_BYTES: Final = 32 * 1024
"""Of labels, annotations, owner references and finalizers each."""

_METADATA: Final = "metadata"
_NOT_READ: Final = "managedFields"
# A whole string, a bracket, or the begin of a string whose end has not come yet. The quantifiers are possessive:
# without them a long string of escapes would take the pattern's stack.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)
_QUOTE, _BRACE, _OPENING, _CLOSING = ord('"'), ord("{"), frozenset(b"{["), frozenset(b"}]")

_log = logging.getLogger(__name__)
_told: TTLCache[str, None] = TTLCache(maxsize=1000, ttl=3600)
"""What was logged in the last hour: lists and watches bring the same object again and again."""


class Unreadable(ValueError):
    """A document of which not even the frame can be read."""


@dataclass
class _Field:
    """A top-level field of an object whose value is an object or a list."""

    name: str
    longest: int
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    depth: int = 0

    def take(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= self.longest:
            self.data += data

    def problem(self) -> str | None:
        """Why it is not parsed."""
        if self.size > self.longest:
            return f"has {self.size} bytes, and at most {self.longest} are read"
        if self.name == _METADATA:
            return None  # Its own fields are looked at one by one.
        return f"is nested {self.depth} deep, and at most {MAX_DEPTH} is read" if self.depth > MAX_DEPTH else None


class Cutter:
    """One JSON document that comes in pieces. `feed` gives each object in it that has come whole.

    `level` is how many brackets deep its objects stand: 0 for an object, 1 for an event of a watch, 2 for the elements
    of a list. `longest` bounds fields of objects by their name, in bytes; a field that may have 0 is never wanted.
    """

    def __init__(self, level: int, longest: Mapping[str, int] = {}, default: int = MAX_FIELD_BYTES) -> None:
        self._level = level
        self._longest = longest
        self._default = default
        self._tail = b""
        self._depth = 0
        self._string = b""
        self._in_list = False
        self._frame = bytearray()
        self._bare: bytearray | None = None
        self._fields: list[_Field] = []
        self._field: _Field | None = None

    def feed(self, data: bytes) -> Iterator[JsonObject | None]:
        """The next piece. None stands for an object that is no JSON that Python reads."""
        text = self._tail + data
        kept, self._tail = 0, b""
        for token in _TOKEN.finditer(text):
            first, begin, end = text[token.start()], token.start(), token.end()
            if first == _QUOTE:
                if end - begin == 1:
                    self._tail = text[begin:]
                    text = text[:begin]
                    break
                if self._field is None and self._depth == self._level + 1:
                    self._string = token[0]
            elif first in _OPENING:
                if self._begins(first):
                    self._keep(text[kept:begin])
                    kept = begin
                    self._begin(first)
                elif self._depth == 1:
                    self._in_list = first != _BRACE
                self._depth += 1
                self._measure()
            elif first in _CLOSING:
                self._depth -= 1
                if self._field is not None and self._depth == self._level + 1:
                    self._keep(text[kept:end])
                    kept, self._field = end, None
                elif self._bare is not None and self._depth == self._level:
                    self._keep(text[kept:end])
                    kept = end
                    yield self._object()
        self._keep(text[kept:])

    def frame(self) -> JsonObject:
        """The document around the objects, null where one stood. Raises Unreadable, or ValueError if it is no JSON."""
        if self._tail or self._depth:
            raise Unreadable("the document ends too early")
        frame: JsonObject = json.loads(self._frame)
        return frame

    def _begins(self, first: int) -> bool:
        """Whether an object, or a field of one, begins with this bracket."""
        if self._bare is not None:
            return self._field is None
        return first == _BRACE and self._depth == self._level and (self._level < 2 or self._in_list)

    def _begin(self, first: int) -> None:
        if self._bare is None:
            self._frame += b"null"
            self._bare, self._fields = bytearray(), []
            return
        self._bare += b"null"
        name = json.loads(self._string)
        self._field = _Field(name, self._longest.get(name, self._default))
        self._fields.append(self._field)

    def _measure(self) -> None:
        if self._field is not None:
            self._field.depth = max(self._field.depth, self._depth - self._level - 1)
        elif self._depth > MAX_DEPTH:
            raise Unreadable(f"the document is nested more than {MAX_DEPTH} deep")

    def _keep(self, data: bytes) -> None:
        if self._field is not None:
            self._field.take(data)
        elif self._bare is not None:
            self._bare += data
        else:
            self._frame += data

    def _object(self) -> JsonObject | None:
        bare, self._bare = bytes(self._bare or b""), None
        try:
            raw: JsonObject = json.loads(bare)
        except ValueError as error:
            tell("an object", f"cannot be read: {error}")
            return None
        problems = {each.name: problem for each in self._fields if (problem := _parse(raw, each)) and each.longest}
        return {**raw, UNREADABLE: problems} if problems else raw


def _parse(raw: JsonObject, part: _Field) -> str | None:
    """Put a field's value into its object, or take the field away and say why."""
    problem = part.problem()
    if problem is None:
        try:
            raw[part.name] = _read_metadata(part.data) if part.name == _METADATA else json.loads(part.data)
        except ValueError as error:
            problem = f"cannot be read: {error}"
    if problem is not None:
        del raw[part.name]
    return problem


def _read_metadata(data: bytes | bytearray) -> Any:
    """Metadata without what nobody here reads, however large or deep that is."""
    (metadata,) = Cutter(0, {_NOT_READ: 0}, MAX_METADATA_BYTES).feed(bytes(data))
    if metadata is not None:
        metadata.pop(UNREADABLE, None)
    return metadata


def read_object(data: bytes, longest: Mapping[str, int] = {}) -> JsonObject:
    """An answer that is one object. Raises Unreadable, or ValueError if it is no JSON."""
    cutter = Cutter(0, longest)
    found = [*cutter.feed(data)]
    cutter.frame()
    raw = _whole(found[0]) if found else None
    if raw is None:
        raise Unreadable("the answer is no object that can be read")
    return raw


def read_event(data: bytes, longest: Mapping[str, int] = {}) -> JsonObject | None:
    """A line of a watch, or None where its object cannot even be named. Raises as `read_object`."""
    cutter = Cutter(1, longest)
    found = [*cutter.feed(data)]
    event = cutter.frame()
    if not found:
        return event
    raw = _whole(found[0])
    return None if raw is None else {**event, "object": raw}


async def read_list(chunks: AsyncIterator[bytes], longest: Mapping[str, int] = {}) -> JsonObject:
    """An answer that holds a list, or a page of one, as it comes in: never in memory whole. Raises as `read_object`."""
    cutter = Cutter(2, longest)
    found: list[JsonObject | None] = []
    async for chunk in chunks:
        found += map(_whole, cutter.feed(chunk))
        # A page of large objects must not keep the loop from everything else.
        await asyncio.sleep(0)
    frame, objects = cutter.frame(), iter(found)
    for name, value in frame.items():
        if isinstance(value, list):
            filled = [next(objects, None) if each is None else each for each in value]
            frame[name] = [each for each in filled if each is not None]
    return frame


def _whole(raw: JsonObject | None) -> JsonObject | None:
    """The object, and a line in the log if something is left out; None where that is what tells it from others."""
    if raw is None or UNREADABLE not in raw:
        return raw
    problems, metadata = raw[UNREADABLE], raw.get(_METADATA) or {}
    name = f"{raw.get('kind', 'object')} {metadata.get('namespace', '')}/{metadata.get('name', '?')}"
    tell(f"{name} ({metadata.get('uid')})", "; ".join(f"its {key} {why}" for key, why in problems.items()))
    return None if _METADATA in problems else raw


def tell(name: str, problem: str) -> None:
    """Log what was left out of an object, once an hour for each."""
    if name not in _told:
        _told[name] = None
        _log.warning("%s: %s; it is left out, and the others go on", name, problem)
