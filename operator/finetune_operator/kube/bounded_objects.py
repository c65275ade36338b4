"""Packed objects by the value of their label, in bounded memory. Anybody may make any number of them, and no namespace's push out another's.

Those of which it is not known yet whether they are ours: their owner may be seen only after them, by another watch. Two watches of an
API server keep no order between them, least of all after a network or a process that stood still. And those that have ended and were
deleted: how a pod ended is worth more than that it is gone.
"""

from collections import Counter, OrderedDict

from finetune_api.base import JsonObject
from finetune_operator.kube.object_limit import MOST
from finetune_operator.kube.packed import PACKED

_MOST_BYTES = 4 * 1024 * 1024
_OVERHEAD = 500
"""Of the dicts around what is packed."""

_Key = tuple[str, str]
"""Namespace and name."""


class BoundedObjects:
    """The namespace that has most gives up its oldest value first; of those with one value the newest are kept."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._groups: dict[str, OrderedDict[str, dict[_Key, JsonObject]]] = {}
        """By namespace and value."""
        self._value_of: dict[_Key, str] = {}
        self._bytes: Counter[str] = Counter()
        """By namespace."""

    def put(self, key: _Key, value: str, packed: JsonObject) -> None:
        """Keep the newest version of an object."""
        self.drop(key)
        namespace, _ = key
        groups = self._groups.setdefault(namespace, OrderedDict())
        group = groups.setdefault(value, {})
        group[key] = packed
        groups.move_to_end(value)
        self._value_of[key] = value
        self._bytes[namespace] += _size(packed)
        if len(group) > MOST:
            self.drop(next(iter(group)))
        while self._bytes.total() > self._most_bytes:
            ((largest, _),) = self._bytes.most_common(1)
            self._take(largest, next(iter(self._groups[largest])))

    def drop(self, key: _Key) -> None:
        """Forget an object, if it is here."""
        value = self._value_of.pop(key, None)
        if value is None:
            return
        namespace, _ = key
        group = self._groups[namespace][value]
        self._bytes[namespace] -= _size(group.pop(key))
        if not group:
            self._forget_group(namespace, value)

    def has(self, key: _Key, uid: str) -> bool:
        """Whether this very object is here."""
        value = self._value_of.get(key)
        return value is not None and self._groups[key[0]][value][key]["metadata"]["uid"] == uid

    def places(self) -> set[_Key]:
        """Namespace and name of each."""
        return set(self._value_of)

    def labelled(self, value: str) -> dict[_Key, JsonObject]:
        """Those with this value."""
        return {key: packed for groups in self._groups.values() for key, packed in groups.get(value, {}).items()}

    def take(self, value: str) -> list[JsonObject]:
        """Return those with this value, and forget them."""
        namespaces = [namespace for namespace, groups in self._groups.items() if value in groups]
        return [packed for namespace in namespaces for packed in self._take(namespace, value)]

    def _take(self, namespace: str, value: str) -> list[JsonObject]:
        group = self._groups[namespace][value]
        for key, packed in group.items():
            del self._value_of[key]
            self._bytes[namespace] -= _size(packed)
        self._forget_group(namespace, value)
        return list(group.values())

    def _forget_group(self, namespace: str, value: str) -> None:
        del self._groups[namespace][value]
        if not self._groups[namespace]:
            del self._groups[namespace], self._bytes[namespace]


def _size(packed: JsonObject) -> int:
    return len(packed[PACKED]) + _OVERHEAD
