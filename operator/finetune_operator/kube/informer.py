"""A cache of the objects of one kind, of those with a label or of all, in all namespaces or in several, kept by list and watch.

Protocol: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.bounded_json import warn_once
from finetune_operator.kube.bounded_objects import BoundedObjects
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause, unexpected
from finetune_operator.kube.object_limit import MOST, Worth, is_over_limit, least_informative
from finetune_operator.kube.packed import have_same_content, pack, unpack, version_of
from finetune_operator.kube.pages import whole_list
from finetune_operator.kube.retry import keep_running
from finetune_operator.kube.tombstones import Tombstones

_WATCH_SECONDS = 290
SILENCE_SECONDS = 90.0
"""Kubernetes sends a bookmark a minute; a watch that is silent for longer is dead."""
_PAUSE_SECONDS = 0.1
PAGE_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_GONE = 410
_AT_ONCE = 50
_WORTH = "worth"

logger = logging.getLogger(__name__)


class Informer:
    """Objects by (namespace, name). `on_change` is called with each one that was added or deleted, or of which something has changed that is kept.

    `namespaces` have a watch each, all of them one together if it is empty. One that may not be read keeps none of the others back.

    `transform` returns the part of an object that is kept, and `keep` whether it is, given that part: anybody can put any
    label on an object. Where `keep` returns None that is not known yet, and `reconsider` asks again. `keep_deleted` chooses deleted objects that stay until the next
    list: how a pod ended is worth more than that it is gone. Where too many have the label with one value, `worth` orders
    those that are kept by how much they tell. `on_recovery` is called when the API server answers after a failure.
    `resync_seconds` pass between two lists, read slowly, that heal what a watch has missed.
    """

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        *,
        namespaces: Sequence[str] = (),
        label: str | None,
        on_change: Callable[[JsonObject], None],
        resync_seconds: float,
        transform: Callable[[JsonObject], JsonObject] = lambda raw: raw,
        keep: Callable[[JsonObject], bool | None] = lambda _: True,
        keep_deleted: Callable[[JsonObject], bool] = lambda _: False,
        worth: Worth[JsonObject] = lambda _: (True,),
        on_recovery: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._kind = kind
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._label = label
        self._selectors = {"labelSelector": label} if label else {}
        self._on_change = on_change
        self._resync_seconds = resync_seconds
        self._transform = transform
        self._keep = keep
        self._keep_deleted = keep_deleted
        self._worth = worth
        self._on_recovery = on_recovery
        self._clock = clock
        self._retrying = asyncio.Event()
        self._objects: dict[tuple[str, str], JsonObject] = {}
        self._by_label: dict[str, set[tuple[str, str]]] = {}
        self._deleted = BoundedObjects()
        self._undecided = BoundedObjects()
        self._last_contact = dict.fromkeys(self._namespaces, clock())
        self._current = dict.fromkeys(self._namespaces, -math.inf)
        self._failures = dict.fromkeys(self._namespaces, 0)
        self._unread = set(self._namespaces)
        self._failing = set[str | None]()
        """Of which the last request failed."""
        self._versions: dict[str | None, str] = {}
        """Where the next watch begins. Of a namespace that is not here a list is needed first."""
        self._tombstones = Tombstones()
        self.synced = asyncio.Event()
        """Set when the first list of each namespace has come, or was refused."""

    @property
    def kind(self) -> Kind:
        """What is watched."""
        return self._kind

    def silence(self) -> float:
        """Seconds since the API server last sent anything, a list, an event, a bookmark or a refusal, of the most silent namespace."""
        return self._clock() - min(self._last_contact.values())

    def current(self, namespace: str) -> float:
        """The time of `clock` up to which everything that happened in a namespace is known for sure.

        That is when the last list was asked for, or, by what a watch has brought, as long ago as a watch may be late without being given up.
        """
        if None in self._current:
            return self._current[None]
        return self._current.get(namespace, math.inf)

    def is_undecided(self, namespace: str, name: str, uid: str) -> bool:
        """Whether this very object is there, and `keep` does not know yet whether it is one of ours."""
        return self._undecided.has((namespace, name), uid)

    def reconsider(self, value: str) -> None:
        """Look again at the objects whose label has this value and that `keep` could not tell about."""
        for raw in self._undecided.take(value):
            packed = self._decide(unpack(raw))
            if packed is not None:
                self._store(packed)
                self._tell(packed)

    def get(self, namespace: str, name: str) -> JsonObject | None:
        """The object as it was last seen. None proves nothing: ask the API server before acting on it."""
        return unpack(found) if (found := self._objects.get((namespace, name))) else None

    def uid_of(self, namespace: str, name: str) -> str | None:
        """The uid of the object that `get` would return; None where it returns none."""
        return str(found["metadata"]["uid"]) if (found := self._objects.get((namespace, name))) else None

    def has_labelled(self, value: str) -> bool:
        """Whether there is an object whose label has this value."""
        return value in self._by_label

    def labelled(self, value: str) -> list[JsonObject]:
        """All objects whose label has this value, and until the next list those deleted ones that `keep_deleted` chose."""
        deleted = [raw for key, raw in self._deleted.labelled(value).items() if key not in self._objects]
        return [unpack(raw) for raw in [*(self._objects[key] for key in self._by_label.get(value, ())), *deleted]]

    def retry(self) -> None:
        """End the pauses after failures: what they came of may be over."""
        self._retrying.set()
        self._retrying = asyncio.Event()

    async def run(self) -> None:
        """List and watch until cancelled; after a failure again, ever more slowly. A list comes only where a watch needs one, and to compare."""
        self._unread = set(self._namespaces)
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                for task, work in (("watch", self._run), ("comparison", self._keep_comparing)):
                    group.create_task(keep_running(f"{task} of {self._kind.plural}", partial(work, namespace)))

    async def _run(self, namespace: str | None) -> None:
        while True:
            try:
                await self._list_and_watch(namespace)
            except Exception as error:  # whatever comes, the operator goes on for all the others
                self._failures[namespace] += 1
                # Only a connection that failed has lost nothing: its watch goes on from where it was.
                if isinstance(error, ApiException) or not isinstance(error, API_FAILURES):
                    self._versions.pop(namespace, None)
                if isinstance(error, ForbiddenException):
                    # An answer: the connection is alive, and to start again would help nobody.
                    self._note_contact(namespace)
                    self._note_read(namespace)
                # A version that is too old by now is part of the protocol.
                if not (isinstance(error, ApiException) and error.status == _GONE):
                    self._failing.add(namespace)
                    what = f"{self._kind.plural} in {namespace}" if namespace else self._kind.plural
                    traceback = unexpected(error, f"watch of {self._kind.plural}")
                    text = "watch of %s failed: %s"
                    logger.warning(text, what, brief(error), exc_info=traceback, extra={"cause": shared_cause(error)})
                pause = backoff(self._failures[namespace], random.random())  # noqa: S311
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(pause, _LONGEST_PAUSE_SECONDS)):
                        await self._retrying.wait()

    async def _list_and_watch(self, namespace: str | None) -> None:
        """Watch from where the last watch came to; list first where that is not known, or the API server does not know it any more."""
        if namespace not in self._versions:
            await self._list(namespace)
        while True:
            await self._watch(namespace)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self, namespace: str | None) -> None:
        asked = self._clock()
        pages = self._kube.list_to_watch(self._kind, namespace, self._read, self._selectors)
        items, version = await whole_list(pages)
        self._note_answer(namespace)
        await self._replace(items, namespace)
        self._versions[namespace] = version
        self._current[namespace] = asked
        self._note_read(namespace)

    async def _watch(self, namespace: str | None) -> None:
        """Take in what one watch brings, until it ends or falls silent.

        An API server has no bookmark to send where nothing happens in its cluster that a version shows. That a connection is dead is found by the next watch.
        """
        events = self._kube.watch(
            self._kind,
            namespace,
            self._versions[namespace],
            seconds=_WATCH_SECONDS,
            on_open=lambda: self._note_answer(namespace),
            **self._selectors,
        )
        silence = asyncio.timeout(SILENCE_SECONDS)
        try:
            async with silence:
                async for event in events:
                    silence.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
                    self._failures[namespace] = 0
                    self._take(event)
                    self._note_news(namespace)
                    version = event["object"]["metadata"].get("resourceVersion")
                    self._versions[namespace] = version or self._versions[namespace]
        except TimeoutError:
            if not silence.expired():
                raise
            return
        self._note_news(namespace)
        self._failures[namespace] = 0

    async def _keep_comparing(self, namespace: str | None) -> None:
        """Compare with a list now and then, which heals what a watch has missed."""
        while True:
            await asyncio.sleep(self._resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311
            if namespace not in self._versions:
                continue
            try:
                await self._compare(namespace)
            except Exception as error:  # whatever comes, the operator goes on
                plural, extra = self._kind.plural, {"cause": shared_cause(error)}
                traceback = unexpected(error, f"comparison of {plural}")
                logger.warning("list of %s failed: %s", plural, brief(error), exc_info=traceback, extra=extra)

    async def _compare(self, namespace: str | None) -> None:
        """Read a list slowly. What is told by it of the past is no news: a newer version is known, or that it was deleted since."""
        ended, listed, version = self._deleted.places(), set[tuple[str, str]](), ""
        pages = self._kube.pages(self._kind, namespace, self._read, self._selectors, pause=PAGE_PAUSE_SECONDS)
        with self._tombstones.during() as gone:
            async for page in pages:
                version = page.version
                for raw in page.items:
                    listed.add(_key(raw))
                    known = self._objects.get(_key(raw))
                    if raw["metadata"]["uid"] not in gone and (known is None or version_of(known) < version_of(raw)):
                        self._store(raw)
                        self._tell(raw)
        for key in self._objects.keys() - listed:
            if _is_in(key, namespace) and version_of(self._objects[key]) <= int(version):
                self._tell(self._drop(key))
        for key in ended:
            if _is_in(key, namespace):
                self._deleted.drop(key)

    def _note_answer(self, namespace: str | None) -> None:
        self._note_contact(namespace)
        if namespace in self._failing:
            self._failing.discard(namespace)
            self._on_recovery()

    def _note_contact(self, namespace: str | None) -> None:
        self._last_contact[namespace] = self._clock()

    def _note_news(self, namespace: str | None) -> None:
        """Note that a watch has brought something. What it is may have been on its way for as long as a silent watch is waited for."""
        self._note_contact(namespace)
        self._current[namespace] = max(self._current[namespace], self._clock() - SILENCE_SECONDS)

    def _note_read(self, namespace: str | None) -> None:
        self._unread.discard(namespace)
        if not self._unread:
            self.synced.set()

    def _take(self, event: JsonObject) -> None:
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            return
        raw = self._read(event["object"])
        if event["type"] == "DELETED":
            metadata = event["object"]["metadata"]
            self._tombstones.add(str(metadata.get("uid")))
            self._undecided.drop((str(metadata.get("namespace")), str(metadata.get("name"))))
        if raw is None:
            self._let_go(event["object"]["metadata"])
            return
        known = self._objects.get(_key(raw))
        if known is not None and version_of(raw) < version_of(known):
            # The last pages of a list may show what came after the version from which it is watched.
            return
        if event["type"] != "DELETED":
            self._store(raw)
            # A Job's controller writes much that nobody here reads.
            if known is None or not have_same_content(known, raw):
                self._tell(raw)
        elif known is not None:
            self._drop(_key(raw))
            if self._keep_deleted(unpack(raw)):
                self._deleted.put(_key(raw), self._value(raw), raw)
            self._tell(raw)

    def _read(self, raw: JsonObject) -> JsonObject | None:
        """What is kept of an object. None for one of somebody else, and for one that cannot be read: the others go on."""
        try:
            transformed = self._transform(raw)
            hash(_key(transformed)), self._value(transformed), version_of(transformed)
            return self._decide(transformed)
        except Exception as error:  # noqa: BLE001 - whatever an object may hold
            self._warn(raw, error)
            return None

    def _decide(self, transformed: JsonObject) -> JsonObject | None:
        key, kept = _key(transformed), self._keep(transformed)
        self._undecided.drop(key)
        if kept is False:
            return None
        packed = pack(transformed, self._label)
        packed["metadata"][_WORTH] = self._worth(transformed)
        if kept:
            return packed
        self._undecided.put(key, self._value(transformed), packed)
        return None

    def _tell(self, packed: JsonObject) -> None:
        """Call `on_change`; of what it meets in one object no other knows."""
        try:
            self._on_change(unpack(packed))
        except Exception as error:  # noqa: BLE001 - whatever an object may hold
            self._warn(packed, error)

    def _warn(self, raw: JsonObject, error: Exception) -> None:
        metadata = raw.get("metadata") or {}
        name = f"{self._kind.plural} {metadata.get('namespace')}/{metadata.get('name')}"
        warn_once(name, f"cannot be read ({type(error).__name__} {error})")

    def _let_go(self, metadata: JsonObject) -> None:
        """Forget an object that is not kept any more, if it was."""
        known = self._objects.get((str(metadata.get("namespace")), str(metadata.get("name"))))
        if known is not None:
            self._tell(self._drop(_key(known)))

    async def _replace(self, items: list[JsonObject], namespace: str | None) -> None:
        """Take a whole list: what is not in it any more was deleted while no watch ran."""
        for key in self._deleted.places():
            if _is_in(key, namespace):
                self._deleted.drop(key)
        listed = {_key(raw): raw for raw in items}
        for key in self._objects.keys() - listed.keys():
            if _is_in(key, namespace):
                gone = self._drop(key)
                self._tombstones.add(gone["metadata"]["uid"])
                self._tell(gone)
        for number, (key, raw) in enumerate(listed.items()):
            known = self._objects.get(key)
            if known is None or known["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"]:
                self._store(raw)
                self._tell(raw)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # Thousands must not keep the loop from everything else.

    def _store(self, raw: JsonObject) -> None:
        key = _key(raw)
        if key in self._objects:
            self._drop(key)
        self._objects[key] = raw
        alike = self._by_label.setdefault(value := self._value(raw), set())
        alike.add(key)
        if value and is_over_limit(len(alike)):
            warn_once(f"one of the {self._kind.plural} of {value}", f"tells least of more than {MOST}")
            for each in least_informative(alike, lambda each: self._objects[each]["metadata"][_WORTH]):
                self._drop(each)

    def _drop(self, key: tuple[str, str]) -> JsonObject:
        raw = self._objects.pop(key)
        value = self._value(raw)
        self._by_label[value].discard(key)
        if not self._by_label[value]:
            del self._by_label[value]
        return raw

    def _value(self, raw: JsonObject) -> str:
        return str((raw["metadata"].get("labels") or {}).get(self._label, "")) if self._label else ""


def _key(raw: JsonObject) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def _is_in(key: tuple[str, str], namespace: str | None) -> bool:
    return namespace in (None, key[0])
