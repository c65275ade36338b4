"""Files that survive a crash: whole or absent, and on the disk before anything that depends on them."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new."""
    _write_beside(path, content).replace(path)
    sync_folder(path.parent)


def create_atomically(path: Path, content: bytes) -> None:
    """Write a file unless there is one of that name, so that a crash leaves all of it or nothing.

    On file systems without hard links, such as SMB and some of FUSE, a file that is there is replaced.
    """
    temporary = _write_beside(path, content)
    try:
        os.link(temporary, path)
        temporary.unlink()
    except FileExistsError:
        temporary.unlink()
    except OSError:
        temporary.replace(path)
    sync_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def sync_file(path: Path) -> None:
    """Write the content of a file through to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write the names in `folder` through to the disk, so that renames and new files survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and its subfolders, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sync_folders(folder: Path) -> None:
    """Write the names in a folder and all its subfolders through to the disk."""
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(each)


def remove_folder(folder: Path, trash: Path) -> None:
    """Delete a folder if it is there. It is moved into `trash` first, so that half of it never has its name."""
    doomed = trash / f"removed-{uuid.uuid4().hex}"
    if folder.exists():
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def replace_folder(place: Path, prefix: str, write: Callable[[Path], None]) -> None:
    """Replace the folder at `place` by one that `write` fills, whole or not at all.

    Args:
        prefix: What the names of folders begin with that are beside it meanwhile.
    """
    fresh, old = (place.with_name(f"{prefix}{uuid.uuid4().hex}") for _ in range(2))
    write(fresh)
    for path in files_below(fresh):
        sync_file(path)
    sync_folders(fresh)
    if place.exists():
        place.rename(old)
        fresh.rename(place)
        shutil.rmtree(old)
    else:
        fresh.rename(place)
    sync_folder(place.parent)


def digest_of(files: Iterable[Path], folder: Path) -> str:
    """Return `sha256:…` over the lines that `sha256sum` prints for the files below `folder`, in their order."""
    lines = "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
