"""The manifest of a checkpoint: what it holds, whose it is, and whether all of it is there."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from finetune_api.base import JsonObject
from finetune_trainer.base.files import files_below, sha256_of, sync_file, sync_folders
from finetune_trainer.storage.folder import FileEntry, Folder, LocalFolder
from finetune_trainer.storage.layout import MANIFEST


class Manifest(BaseModel):
    """`manifest.json`: what a checkpoint holds and whose it is. Written last."""

    run: JsonObject
    """Identity of the run, see `RunConfig.identity`."""
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
    """On this machine. There may be nothing where the output is away from it."""
    size_bytes: int
    digest: str
    """`sha256:…` of its manifest."""
    time: datetime


def verify(path: Path, run: JsonObject) -> tuple[SavedCheckpoint | None, str]:
    """Return the checkpoint of `run` at `path` on this machine, or what is wrong with it."""
    return examine(LocalFolder(path), run)


def examine(folder: Folder, run: JsonObject) -> tuple[SavedCheckpoint | None, str]:
    """Return the checkpoint of `run` in `folder`, or what is wrong with it.

    Raises:
        TrainerError: The place of the folder cannot be read.
    """
    try:
        content = folder.read(MANIFEST)
        if content is None:
            return None, f"{MANIFEST} is missing"
        manifest = Manifest.model_validate_json(content)
        problem = "it belongs to another run" if manifest.run != run else folder.check(manifest.files)
    except ValidationError as error:
        return None, f"it cannot be read: {str(error).splitlines()[0]}"
    except OSError as error:
        return None, f"it cannot be read: {error}"
    return (None, problem) if problem else (_saved(folder.path, manifest, content), "")


def seal(folder: Path, run: JsonObject, step: int, epoch: float) -> SavedCheckpoint:
    """Make a folder a checkpoint: sync all files to the disk, then write the manifest."""
    files = {}
    for path in files_below(folder):
        sync_file(path)
        files[path.relative_to(folder).as_posix()] = FileEntry(sha256=sha256_of(path), size=path.stat().st_size)
    time = datetime.now(UTC).replace(microsecond=0)
    manifest = Manifest(run=run, step=step, epoch=epoch, time=time, files=files)
    content = manifest.model_dump_json(indent=2).encode()
    (folder / MANIFEST).write_bytes(content)
    sync_file(folder / MANIFEST)
    sync_folders(folder)
    return _saved(folder, manifest, content)


def _saved(path: Path, manifest: Manifest, content: bytes) -> SavedCheckpoint:
    """Return the checkpoint at `path` whose manifest has this content."""
    size = len(content) + sum(entry.size for entry in manifest.files.values())
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return SavedCheckpoint(manifest.step, manifest.epoch, path, size, digest, manifest.time)
