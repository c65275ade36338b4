"""The manifest of a checkpoint: what it holds, whose it is, and whether all of it is there."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from finetune_api.base import JsonObject
from finetune_trainer.base.files import sha256_of, sync_file, sync_folder
from finetune_trainer.storage.layout import MANIFEST


class FileEntry(BaseModel):
    sha256: str
    size: int
    """Bytes."""


class Manifest(BaseModel):
    """`manifest.json`: what a checkpoint holds and whose it is. Written last."""

    run: JsonObject
    """Identity of the run, see `storage.identity`."""
    step: int
    epoch: float
    time: datetime
    files: dict[str, FileEntry]
    """By path relative to the checkpoint, with `/`."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A complete checkpoint."""

    step: int
    epoch: float
    path: Path
    size_bytes: int
    digest: str
    """`sha256:…` of its manifest."""
    time: datetime


def verify(path: Path, run: JsonObject) -> tuple[SavedCheckpoint | None, str]:
    """The checkpoint at `path`, or what is wrong with it: each file must be there with its size and SHA-256."""
    try:
        text = (path / MANIFEST).read_bytes()
        manifest, problem = read_manifest(text, run)
        for name, entry in manifest.files.items() if manifest else ():
            if (path / name).stat().st_size != entry.size:
                return None, f"{name} has another size than its manifest says"
            if sha256_of(path / name) != entry.sha256:
                return None, f"{name} has another SHA-256 than its manifest says"
    except FileNotFoundError as error:
        return None, f"{Path(error.filename).name} is missing"
    except OSError as error:
        return None, f"it cannot be read: {error}"
    return (saved_as(path, manifest, text), "") if manifest else (None, problem)


def read_manifest(text: bytes, run: JsonObject) -> tuple[Manifest | None, str]:
    """The manifest of a checkpoint of `run`, or what is wrong with it."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        return None, f"it cannot be read: {str(error).splitlines()[0]}"
    if manifest.run != run:
        return None, "it belongs to another run"
    return manifest, ""


def saved_as(path: Path, manifest: Manifest, text: bytes) -> SavedCheckpoint:
    """The checkpoint at `path` whose manifest has this text."""
    size = len(text) + sum(entry.size for entry in manifest.files.values())
    return SavedCheckpoint(manifest.step, manifest.epoch, path, size, _digest(text), manifest.time)


def seal(folder: Path, run: JsonObject, step: int, epoch: float) -> tuple[str, int, datetime]:
    """Sync all files, then write the manifest. Returns its digest, the size of all in bytes, and its time."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sync_file(path)
        files[path.relative_to(folder).as_posix()] = FileEntry(sha256=sha256_of(path), size=path.stat().st_size)
    time = datetime.now(UTC).replace(microsecond=0)
    text = Manifest(run=run, step=step, epoch=epoch, time=time, files=files).model_dump_json(indent=2).encode()
    (folder / MANIFEST).write_bytes(text)
    sync_file(folder / MANIFEST)
    for subfolder in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(subfolder)
    return _digest(text), len(text) + sum(entry.size for entry in files.values()), time


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
