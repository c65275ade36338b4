"""Objects of which it is not known yet whether they are ours: their owner may be seen only after them, by another watch.

Two watches of an API server keep no order between them, least of all after a network or a process that stood still.
"""

from collections import OrderedDict

from finetune_api.base import JsonObject
from finetune_operator.kube.packed import PACKED

_MOST_BYTES = 4 * 1024 * 1024
_OVERHEAD = 500
"""Of the dicts around what is packed."""

_Key = tuple[str, str]


class Undecided:
    """Packed objects by the value of their label. Anybody may make any number of them: the oldest values are given up first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._by_value: OrderedDict[str, dict[_Key, JsonObject]] = OrderedDict()
        self._value_of: dict[_Key, str] = {}
        self._bytes = 0

    def put(self, key: _Key, value: str, packed: JsonObject) -> None:
        """Keep the newest version of an object."""
        self.drop(key)
        self._by_value.setdefault(value, {})[key] = packed
        self._by_value.move_to_end(value)
        self._value_of[key] = value
        self._bytes += _size(packed)
        while self._bytes > self._most_bytes:
            self._take(next(iter(self._by_value)))

    def drop(self, key: _Key) -> None:
        """Forget an object, if it is here."""
        value = self._value_of.pop(key, None)
        if value is None:
            return
        group = self._by_value[value]
        self._bytes -= _size(group.pop(key))
        if not group:
            del self._by_value[value]

    def has(self, key: _Key, uid: str) -> bool:
        """Whether this very object is here."""
        value = self._value_of.get(key)
        return value is not None and self._by_value[value][key]["metadata"]["uid"] == uid

    def take(self, value: str) -> list[JsonObject]:
        """Return those with this value, and forget them."""
        return self._take(value) if value in self._by_value else []

    def _take(self, value: str) -> list[JsonObject]:
        group = self._by_value.pop(value)
        for key, packed in group.items():
            del self._value_of[key]
            self._bytes -= _size(packed)
        return list(group.values())


def _size(packed: JsonObject) -> int:
    return len(packed[PACKED]) + _OVERHEAD
