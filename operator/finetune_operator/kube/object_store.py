"""The objects of one kind that a watch and its lists bring, by place and by the value of a label, as far as they are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from finetune_api.base import JsonObject
from finetune_operator.kube.bounded_json import warn_once
from finetune_operator.kube.bounded_objects import BoundedObjects
from finetune_operator.kube.object_limit import MOST, Worth, is_over_limit, least_informative
from finetune_operator.kube.packed import have_same_content, pack, unpack, version_of
from finetune_operator.kube.pages import Page
from finetune_operator.kube.tombstones import Tombstones

_AT_ONCE: Final = 50
_WORTH: Final = "worth"


class ObjectStore:
    """Objects by (namespace, name). `on_change` is called with each one that was added or deleted, or of which something has changed that is kept.

    `transform` returns the part of an object that is kept, and `keep` whether it is, given that part: anybody can put any
    label on an object. Where `keep` returns None that is not known yet, and `reconsider` asks again. `keep_deleted` chooses deleted objects that stay until the next
    list: how a pod ended is worth more than that it is gone. Where too many have the label with one value, `worth` orders
    those that are kept by how much they tell. `plural` names the kind in the log.
    """

    def __init__(
        self,
        plural: str,
        *,
        label: str | None,
        on_change: Callable[[JsonObject], None],
        transform: Callable[[JsonObject], JsonObject] = lambda raw: raw,
        keep: Callable[[JsonObject], bool | None] = lambda _: True,
        keep_deleted: Callable[[JsonObject], bool] = lambda _: False,
        worth: Worth[JsonObject] = lambda _: (True,),
    ) -> None:
        self._plural = plural
        self._label = label
        self._on_change = on_change
        self._transform = transform
        self._keep = keep
        self._keep_deleted = keep_deleted
        self._worth = worth
        self._objects: dict[tuple[str, str], JsonObject] = {}
        self._by_label: dict[str, set[tuple[str, str]]] = {}
        self._deleted = BoundedObjects()
        self._undecided = BoundedObjects()
        self._tombstones = Tombstones()

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

    def take(self, event: JsonObject) -> None:
        """Take in an event of a watch."""
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            return
        raw = self.read(event["object"])
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

    def read(self, raw: JsonObject) -> JsonObject | None:
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
        name = f"{self._plural} {metadata.get('namespace')}/{metadata.get('name')}"
        warn_once(name, f"cannot be read ({type(error).__name__} {error})")

    def _let_go(self, metadata: JsonObject) -> None:
        """Forget an object that is not kept any more, if it was."""
        known = self._objects.get((str(metadata.get("namespace")), str(metadata.get("name"))))
        if known is not None:
            self._tell(self._drop(_key(known)))

    async def replace(self, items: list[JsonObject], namespace: str | None) -> None:
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

    async def compare(self, pages: AsyncIterator[Page], namespace: str | None) -> None:
        """Take in a list that is read slowly. What it tells of the past is no news: a newer version is known, or that it was deleted since."""
        ended, listed, version = self._deleted.places(), set[tuple[str, str]](), ""
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

    def _store(self, raw: JsonObject) -> None:
        key = _key(raw)
        if key in self._objects:
            self._drop(key)
        self._objects[key] = raw
        alike = self._by_label.setdefault(value := self._value(raw), set())
        alike.add(key)
        if value and is_over_limit(len(alike)):
            warn_once(f"one of the {self._plural} of {value}", f"tells least of more than {MOST}")
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
