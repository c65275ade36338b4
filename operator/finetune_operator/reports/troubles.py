"""What the connections of an address ended with last: the operator's side of why a pod's reports do not come."""

from cachetools import TTLCache

_ADDRESSES = 10_000
_REMEMBERED_SECONDS = 900.0


class Troubles:
    """The last trouble of each address, in bounded memory, until a report of it is taken."""

    def __init__(self) -> None:
        self._by_address: TTLCache[str, str] = TTLCache(_ADDRESSES, _REMEMBERED_SECONDS)

    def note(self, address: str, why: str) -> None:
        """Remember what a connection came to nothing of. `why` is for people."""
        self._by_address[address] = why

    def clear(self, address: str) -> None:
        """Forget it: a report was taken."""
        self._by_address.pop(address, None)

    def about(self, address: str) -> str:
        """What the last connection of this address came to nothing of; empty if there was none, or if it was of use."""
        return self._by_address.get(address, "")
