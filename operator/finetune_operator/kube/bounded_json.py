"""Answers of the API server as JSON, read so that one object cannot harm the others.

An API server takes JSON nested 10,000 deep and objects of 1.5 MiB, of which Python's parser, copies and caches die, or
grow by a factor of thirty. So an answer is not parsed whole: it is cut into objects as it comes in, each object into its
top-level fields (metadata, spec, status), if it is not small and flat, and each of these is parsed by itself, if it is
neither too deep nor too long. What is not parsed is left out, and the object names it under UNREADABLE. managedFields are never parsed: they are half
of an object, as deep as its spec, and nothing here reads them.
"""

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import TTLCache

from finetune_api.base import JsonObject
from finetune_operator.job.names import UNREADABLE
from finetune_operator.kube import fast_json

MAX_DEPTH: Final = 64
"""Kubernetes' own deepest kinds, pods with their affinities, come to 16."""
MAX_FIELD_BYTES: Final = 3 * 512 * 1024
"""What etcd takes at most."""
MAX_METADATA_BYTES: Final = 32 * 1024
"""Of labels, annotations, owner references and finalizers each."""

_SMALL_BYTES: Final = 64 * 1024
_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of a page of a list that is held in memory, while it is parsed object by object."""
_AT_ONCE: Final = 16
_METADATA: Final = "metadata"
_OBJECT: Final = "object"
_ITEMS: Final = "items"
_BEGIN_OF_ITEMS: Final = re.compile(r'"items":\s*\[\s*')
_scan: Final = json.JSONDecoder().raw_decode
_NOT_READ: Final = "managedFields"
# The quantifiers are possessive: without them a long string of escapes would take the pattern's stack.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRINGS: Final = rb"(?:" + _STRING + rb'[^{}\[\]"]*+)'
# A whole string, a bracket, or the begin of a string whose end has not come yet.
_TOKEN: Final = re.compile(_STRING + rb'|[{}\[\]"]', re.DOTALL)
# Within a field also a whole list or object that holds no other, and any number of strings: few steps for many bytes.
_INNER: Final = re.compile(rb'[{\[][^{}\[\]"]*+' + _STRINGS + rb"*+[}\]]|" + _STRINGS + rb'++|[{}\[\]"]', re.DOTALL)
_CONTAINERS: Final = frozenset((dict, list))
_QUOTE, _BRACE, _OPENING, _CLOSING = ord('"'), ord("{"), frozenset(b"{["), frozenset(b"}]")

logger = logging.getLogger(__name__)
_warned: TTLCache[str, None] = TTLCache(maxsize=1000, ttl=3600)
"""What was logged in the last hour: lists and watches bring the same object again and again."""
_warning = threading.Lock()


class Unreadable(ValueError):
    """A document of which not even the frame can be read."""


@dataclass
class Part:
    """A list or object that was cut out of a document; of one that is too long not the data, but how long it is."""

    name: str
    longest: int
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    depth: int = 0

    def take(self, data: bytes) -> None:
        """The next piece of it."""
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
    """Cuts lists and objects out of one JSON document, which comes in pieces.

    `level` is how many brackets deep they are: 1 for what is in an object's fields, 2 for the elements of its lists.
    `longest` bounds the fields of an object by their name, in bytes, and `default` all others.
    """

    def __init__(self, level: int, longest: Mapping[str, int] = {}, default: int = MAX_FIELD_BYTES) -> None:
        self._level = level
        self._longest = longest
        self._default = default
        self._tail = b""
        self._depth = 0
        self._string = b'""'
        self._in_list = False
        self._frame = bytearray()
        self._part: Part | None = None

    def feed(self, data: bytes) -> Iterator[Part]:
        """The next piece of the document; yields each part that is complete."""
        text = self._tail + data
        kept, end, self._tail = 0, 0, b""
        while token := (_TOKEN if self._part is None else _INNER).search(text, end):
            begin, end = token.span()
            first = text[begin]
            if first == _QUOTE and end - begin == 1:
                self._tail = text[begin:]
                text = text[:begin]
                break
            if first == _QUOTE:
                self._string = token[0]
            elif first in _OPENING and end - begin > 1:
                self._measure(self._depth + 1)
            elif first in _OPENING:
                if self._part is None and self._depth == self._level and (self._level < 2 or self._in_list):
                    self._frame += text[kept:begin] + b"null"
                    kept, self._part = begin, self._begin()
                self._in_list = first != _BRACE if self._depth == 1 else self._in_list
                self._depth += 1
                self._measure(self._depth)
            else:
                self._depth -= 1
                if self._part is not None and self._depth == self._level:
                    self._part.take(text[kept:end])
                    kept, part, self._part = end, self._part, None
                    yield part
        if self._part is not None:
            self._part.take(text[kept:])
        else:
            self._frame += text[kept:]

    def frame(self) -> JsonObject:
        """The document, null where something was cut out. Raises Unreadable, or ValueError if it is no JSON object."""
        if self._tail or self._depth:
            raise Unreadable("the document ends too early")
        frame = json.loads(self._frame)
        if not isinstance(frame, dict):
            raise Unreadable("the document is no object")
        return frame

    def _begin(self) -> Part:
        name = json.loads(self._string) if self._level == 1 else ""
        return Part(name, self._longest.get(name, self._default))

    def _measure(self, depth: int) -> None:
        if self._part is not None:
            self._part.depth = max(self._part.depth, depth - self._level)
        elif depth > MAX_DEPTH:
            raise Unreadable(f"the document is nested more than {MAX_DEPTH} deep")


async def read_object(data: bytes | bytearray, longest: Mapping[str, int] = {}) -> JsonObject:
    """An answer that is one object. Raises Unreadable, or ValueError if it is no JSON object.

    `longest` is for fields that may not be as long as etcd takes them, in bytes; not less than 64 KiB. While a large object is
    read, the event loop goes on with everything else.
    """
    raw = _small(data)
    if raw is None:
        raw = await _taken_apart(bytes(data), longest, MAX_FIELD_BYTES)
        if _METADATA in raw.get(UNREADABLE, ()):
            raise Unreadable(f"its metadata {raw[UNREADABLE][_METADATA]}")
        if isinstance(raw.get(_METADATA), bytes):
            raw[_METADATA] = await _taken_apart(raw[_METADATA], {_NOT_READ: 0}, MAX_METADATA_BYTES)
            raw[_METADATA].pop(UNREADABLE, None)
    if UNREADABLE in raw:
        _warn_of(raw)
    return raw


async def _cut(cutter: Cutter, data: bytes) -> AsyncIterator[Part]:
    """The parts of a document, which is cut in slices between which the event loop goes on with everything else."""
    for begin in range(0, len(data), _SMALL_BYTES):
        for part in cutter.feed(data[begin : begin + _SMALL_BYTES]):
            yield part
        if len(data) > _SMALL_BYTES:
            await asyncio.sleep(0)


def _small(data: bytes | bytearray, within: str | None = None) -> JsonObject | None:
    """Most objects are small and flat: parsed whole, ten times as fast. None for any other.

    `within` names the field of the document that is the object, if it is not the whole.
    """
    if len(data) > _SMALL_BYTES:
        return None
    try:
        raw = fast_json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        raise Unreadable("the document is no object")
    _leave_out_what_is_not_read(raw if within is None else raw.get(within))
    return raw if _is_flat(raw) else None


def _leave_out_what_is_not_read(raw: object) -> None:
    metadata = raw.get(_METADATA) if isinstance(raw, dict) else None
    if isinstance(metadata, dict):
        metadata.pop(_NOT_READ, None)


def _is_flat(raw: JsonObject) -> bool:
    layer: list[Any] = [raw]
    for _ in range(MAX_DEPTH + 1):
        # A parser makes these very classes.
        fields = [each.values() if each.__class__ is dict else each for each in layer]
        layer = [item for each in fields for item in each if item.__class__ in _CONTAINERS]
        if not layer:
            return True
    return False


async def _taken_apart(data: bytes, longest: Mapping[str, int], default: int) -> JsonObject:
    """An object whose fields are parsed one by one; metadata is left as it is, and what cannot be read is left out."""
    cutter = Cutter(1, longest, default)
    parts = [part async for part in _cut(cutter, data)]
    raw, problems = cutter.frame(), {}
    for part in parts:
        problem = part.problem()
        if problem is None and part.name == _METADATA:
            raw[_METADATA] = bytes(part.data)
        elif problem is None:
            try:
                raw[part.name] = json.loads(part.data)
            except ValueError as error:
                problem = f"cannot be read: {error}"
        if problem is not None:
            raw.pop(part.name, None)
            problems[part.name] = problem
    return {**raw, UNREADABLE: problems} if problems else raw


async def read_event(data: bytes, longest: Mapping[str, int] = {}) -> JsonObject:
    """A line of a watch. Raises as `read_object`."""
    small = _small(data, _OBJECT)
    if small is not None:
        return small
    cutter = Cutter(1)
    parts = [part async for part in _cut(cutter, data)]
    event = cutter.frame()
    for part in parts:
        event[part.name] = await read_object(part.data, longest)
    return event


async def read_list(
    chunks: AsyncIterator[bytes],
    longest: Mapping[str, int] = {},
    read: Callable[[JsonObject], JsonObject | None] = lambda raw: raw,
) -> JsonObject:
    """An answer that holds a list, or a page of one, as it comes in: never in memory whole. Raises as `read_object`.

    Of each element what `read` returns is kept, which is all that large ones ever take. One that cannot be read at all, or of
    which `read` returns None, is left out.
    """
    begin = bytearray()
    async for chunk in chunks:
        begin += chunk
        if len(begin) > _PAGE_BYTES:
            break
    else:
        page = await _small_page(begin, read)
        if page is not None:
            return page
    return await _cut_list(begin, chunks, longest, read)


async def _small_page(data: bytearray, read: Callable[[JsonObject], JsonObject | None]) -> JsonObject | None:
    """Most pages hold small and flat objects alone: parsed one by one, which takes a third of the CPU. None for any other.

    `read` may then have been called with some of its objects, and is called with them again.
    """
    try:
        text = data.decode()
        found = _BEGIN_OF_ITEMS.search(text)
        if found is None:
            return None
        items, end = list[JsonObject | None](), found.end()
        while text[end] != "]":
            raw, after = _scan(text, end)
            if not _is_small(text, end, after) or not isinstance(raw, dict):
                return None
            _leave_out_what_is_not_read(raw)
            if not _is_flat(raw):
                return None
            items.append(kept(raw, read))
            end = after + (text[after] == ",")
            end += text[end] == " "
            if len(items) % _AT_ONCE == 0:
                await asyncio.sleep(0)  # Hundreds must not keep the loop from everything else.
        page = json.loads(text[: found.end()] + text[end:])
    except (ValueError, IndexError, RecursionError):
        return None
    # If not, that was a field of this name within something else.
    if not isinstance(page, dict) or page.get(_ITEMS) != []:
        return None
    return {**page, _ITEMS: [each for each in items if each is not None]}


def _is_small(text: str, begin: int, end: int) -> bool:
    """Whether a part of the text is so in bytes, of which a character has at most four."""
    length = end - begin
    return 4 * length <= _SMALL_BYTES or (length <= _SMALL_BYTES and len(text[begin:end].encode()) <= _SMALL_BYTES)


async def _cut_list(
    begin: bytearray,
    chunks: AsyncIterator[bytes],
    longest: Mapping[str, int],
    read: Callable[[JsonObject], JsonObject | None],
) -> JsonObject:
    """A list of which nothing is known: its elements are cut out, whatever they hold. `begin` is what has come of it."""
    cutter = Cutter(2)
    found: list[JsonObject | None] = []
    async for chunk in _joined(begin, chunks):
        for part in cutter.feed(chunk):
            found.append(await _element(part, longest, read))
            if part.size > _SMALL_BYTES:
                await asyncio.sleep(0)
        # Large objects must not keep the loop from everything else.
        await asyncio.sleep(0)
    frame, elements = cutter.frame(), iter(found)
    for name, value in frame.items():
        if isinstance(value, list):
            filled = [next(elements, None) if each is None else each for each in value]
            frame[name] = [each for each in filled if each is not None]
    return frame


async def _joined(begin: bytearray, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for start in range(0, len(begin), _SMALL_BYTES):
        yield bytes(begin[start : start + _SMALL_BYTES])
    begin.clear()
    async for chunk in chunks:
        yield chunk


async def _element(
    part: Part, longest: Mapping[str, int], read: Callable[[JsonObject], JsonObject | None]
) -> JsonObject | None:
    try:
        raw = await read_object(part.data, longest)
    except Exception as error:  # noqa: BLE001 - whatever an object may hold, the others go on
        warn_once("an element of a list", f"cannot be read: {error}")
        return None
    return kept(raw, read)


def kept(raw: JsonObject, read: Callable[[JsonObject], JsonObject | None]) -> JsonObject | None:
    """What `read` returns of an element of a list; None where it fails, whatever the object holds."""
    try:
        return read(raw)
    except Exception as error:  # noqa: BLE001 - whatever an object may hold, the others go on
        warn_once("an element of a list", f"cannot be read: {error}")
        return None


def _warn_of(raw: JsonObject) -> None:
    problems, metadata = raw[UNREADABLE], raw.get(_METADATA) or {}
    name = f"{raw.get('kind', 'object')} {metadata.get('namespace', '')}/{metadata.get('name', '?')}"
    warn_once(f"{name} ({metadata.get('uid')})", "; ".join(f"its {key} {why}" for key, why in problems.items()))


def warn_once(name: str, problem: str) -> None:
    """Log what was left out of an object, once an hour for each, of at most 1,000 objects an hour."""
    with _warning:  # Kopf's answers are read in a thread of its own.
        known = "" if len(_warned) + 1 >= _warned.maxsize else name
        if name in _warned or known in _warned:
            return
        _warned[known] = None
    if known:
        logger.warning("%s: %s; it is left out, and the others go on", name, problem)
    else:
        logger.warning("there are more objects that cannot be read; for the next hour they are left out without a word")
