"""A place away from this machine, where files lie: `bucket` and `hub` are such places."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A file at a place."""

    size: int | None
    """Bytes; None where a web server does not report it."""
    tag: str
    """Changes with the content: an ETag, a checksum or a time. Empty where there is none."""


class Place(Protocol):
    """A folder away from this machine. Names of files are relative to it, with `/`.

    Everything raises TrainerError: with the exit code of the role when it is refused, INTERNAL when it was not reached.
    """

    uri: str
    pause_seconds: float
    """Shortest time between two small writes that nothing waits for."""
    model_folder: str
    """The folder of an exported model; empty for the place itself."""

    def probe(self) -> None:
        """Check that files may be written and deleted."""

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """Return all files at or below `folder`, by name."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""

    def download(self, files: Mapping[str, Path]) -> None:
        """Copy files to paths on this machine, whose folders are there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: readers see the old content or the new."""

    def create(self, name: str, content: bytes) -> None:
        """Write a small file, unless there is one of that name, as far as the service knows."""

    def put(self, files: Mapping[str, Path | bytes], last: str, removed: Collection[str] = ()) -> None:
        """Copy files from this machine, or write their contents. `last` is one of `files`: while it is there so are all others.

        An older file of that name is deleted first, and so are the files `removed`.
        """

    def replace(self, folder: str, files: Mapping[str, Path], last: str) -> None:
        """Replace the content of `folder` by these files. Its old content is there until all new files are at the place.

        Names of `files` and `last` begin with the folder's. While old files are replaced, `last` is not there.
        """

    def remove(self, names: Collection[str], first: str) -> None:
        """Delete files, `first` before all others."""
