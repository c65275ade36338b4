"""A place away from this machine, where files lie: `bucket` and `hub` are such places."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A file at a place."""

    size: int | None
    """Bytes; None where a web server does not say."""
    tag: str
    """Changes with the content: an ETag, a checksum or a time. Empty where there is none."""


class Place(Protocol):
    """A folder away from this machine. Names of files are relative to it, with `/`.

    Everything raises TrainerError: with the exit code of the role when it is refused, INTERNAL when it was not reached.
    """

    uri: str
    pause_seconds: float
    """Least time between two small writes that nothing depends on."""
    model_folder: str
    """Where an exported model stands; empty for the place itself."""

    def probe(self) -> None:
        """Prove that files may be written and deleted."""

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """All files at or below `folder`."""

    def read(self, name: str) -> bytes | None:
        """A small file; None if it is not there."""

    def download(self, files: Mapping[str, Path]) -> None:
        """Copy files to paths on this machine, whose folders are there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: readers see the old content or the new."""

    def create(self, name: str, content: bytes) -> None:
        """Write a small file, unless there is one of that name, as far as the service can tell."""

    def put(self, files: Mapping[str, Path | bytes], last: str, removed: Collection[str] = ()) -> None:
        """Copy files from this machine, or write what they shall hold. `last` is one of `files`: while it is there so are all others.

        What stood under that name before is gone first, and so are the files `removed`.
        """

    def replace(self, folder: str, files: Mapping[str, Path], last: str) -> None:
        """Have `folder` hold these files and no others; its old content stands until all new files are at the place.

        Names of `files` and `last` begin with the folder's. While the old gives way to the new, `last` is not there.
        """

    def remove(self, names: Collection[str], first: str) -> None:
        """Delete files, `first` before all others."""
