"""What was deleted while a list was read, page by page: the pages show the past, and would bring it back."""

from collections.abc import Iterator
from contextlib import contextmanager


class Tombstones:
    """Uids of objects, kept only as long as somebody reads a list."""

    def __init__(self) -> None:
        self._readers: list[set[str]] = []

    def add(self, uid: str) -> None:
        """Note a deletion."""
        for gone in self._readers:
            gone.add(uid)

    @contextmanager
    def during(self) -> Iterator[set[str]]:
        """The uids of what is deleted from now on."""
        gone: set[str] = set()
        self._readers.append(gone)
        try:
            yield gone
        finally:
            self._readers = [each for each in self._readers if each is not gone]
