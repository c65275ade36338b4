"""A folder of an output, wherever it is: read from it, and compare its files with what they should be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from finetune_trainer.base.files import sha256_of
from finetune_trainer.storage.place import Entry, Place


class FileEntry(BaseModel):
    """What a file should be."""

    sha256: str
    """In hexadecimal digits."""
    size: int
    """Bytes."""


class Folder(Protocol):
    """A folder of an output."""

    @property
    def path(self) -> Path:
        """The folder on this machine. There may be nothing where the output is away from it."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none of that name.

        Raises:
            OSError: It cannot be read, on this machine.
            TrainerError: It cannot be read, away from this machine.
        """

    def check(self, files: Mapping[str, FileEntry]) -> str:
        """Return what is wrong with the files, as far as can be seen without a download; empty if nothing is.

        Raises:
            OSError: They cannot be read, on this machine.
        """


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine: every byte of its files is checked."""

    path: Path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def check(self, files: Mapping[str, FileEntry]) -> str:
        for name, entry in files.items():
            file = self.path / name
            try:
                if file.stat().st_size != entry.size:
                    return f"{name} has another size than its manifest says"
                if sha256_of(file) != entry.sha256:
                    return f"{name} has another SHA-256 than its manifest says"
            except FileNotFoundError:
                return f"{file.name} is missing"
        return ""


@dataclass(frozen=True)
class RemoteFolder:
    """A folder away from this machine, as it was listed: a listing has sizes, and does not show whether bytes are right."""

    path: Path
    place: Place
    name: str
    """At the place, with `/`."""
    listed: Mapping[str, Entry]
    """Its files, by their names in the folder."""

    def read(self, name: str) -> bytes | None:
        return self.place.read(f"{self.name}/{name}") if name in self.listed else None

    def check(self, files: Mapping[str, FileEntry]) -> str:
        for name, entry in files.items():
            if name not in self.listed:
                return f"{name} is missing"
            if self.listed[name].size != entry.size:
                return f"{name} has another size than its manifest says"
        return ""
