"""The volume that the jobs of a namespace share for models, data and tokens: who uses what, and what nobody has used for long.

What is made once for all is made under a lock (flock, which every process loses when it ends), and moved to its place when it
is complete. So a volume has to lock across its nodes; one that cannot lock at all is not used, see `use_shared_cache`.

Of an entry, such as a model of the Hub, a file below `used/` has the time of the last use, by the volume's clock. A run renews
those that it uses, so that what is in use is never older than minutes, whatever node it is used on.
"""

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from finetune_api.report import ENV_CACHE
from finetune_trainer.storage.uris import cache_folder

logger = logging.getLogger(__name__)

IN_USE_SECONDS = 3600.0
"""What was used within as long is never deleted."""
RENEW_SECONDS = 600.0
KEPT_SECONDS = 14 * 86_400.0
"""What was not used for as long is deleted."""
_SWEEP_SECONDS = 3600.0
_LEAST_FREE = 0.15
"""Of the volume. Below it what was used least recently is deleted, until there is more."""
_LOCK_SECONDS = 60.0
_NAMES_BEFORE_DOT = ("sources", "datasets/files", "datasets/folders")
"""Folders whose entries are called by digests: `DIGEST.partial` and such belong to DIGEST."""

_used: set[Path] = set()
_renewal = threading.Lock()


def use_shared_cache() -> None:
    """Let libraries that are imported later keep models and data on the shared volume, if there is one that can be used.

    What is of one pod stays in HF_HOME: tokens to sign in with, and code.
    """
    root = shared_root()
    if root is None:
        return
    try:
        _try_lock(root)
    except (OSError, NotImplementedError, Timeout) as error:
        logger.warning("the cache at %s is not used: it cannot be written to or locked: %s", root, error)
        del os.environ[ENV_CACHE]
        return
    os.environ["HF_HUB_CACHE"] = str(root / "hub")
    os.environ["HF_DATASETS_CACHE"] = str(root / "datasets")
    os.environ["HF_DATASETS_DOWNLOADED_DATASETS_PATH"] = str(cache_folder() / "downloads")
    os.environ["HF_DATASETS_EXTRACTED_DATASETS_PATH"] = str(cache_folder() / "unpacked")


def shared_root() -> Path | None:
    """The folder of the shared cache, if there is one."""
    folder = os.environ.get(ENV_CACHE)
    return Path(folder) if folder else None


def use(path: Path) -> None:
    """Note that this run uses the entry of the shared cache that holds `path`, from before it looks for it until it ends."""
    root = shared_root()
    entry = _entry_of(root, path) if root else None
    if root is None or entry is None or entry in _used:
        return
    with suppress(OSError, Timeout):  # a note that cannot be written keeps no run from its model
        _note(root, [entry])
    with _renewal:
        if not _used:
            threading.Thread(target=_renew, args=(root,), name="cache", daemon=True).start()
        _used.add(entry)


def use_hub(kind: str, repository: str) -> None:
    """The same for all of a repository of the Hub; `kind` is `models` or `datasets`."""
    if root := shared_root():
        use(root / "hub" / f"{kind}--{repository.replace('/', '--')}")


def sweep() -> None:
    """Delete what nobody has used for long, and more where the volume is nearly full. One run at a time does, once an hour."""
    root = shared_root()
    if root is None:
        return
    try:
        with FileLock(root / ".sweep.lock", timeout=0):
            _sweep(root)
    except Timeout:
        return
    except OSError as error:
        logger.warning("the cache at %s cannot be swept: %s", root, error)


def _sweep(root: Path) -> None:
    marker = root / ".swept"
    before = marker.stat().st_mtime if marker.exists() else 0.0
    marker.touch()
    now = marker.stat().st_mtime
    if now - before < _SWEEP_SECONDS and not _is_full(root):
        return
    for last, path in sorted((_last_use(root, path), path) for path in _contents(root)):
        if now - last > KEPT_SECONDS or (now - last > IN_USE_SECONDS and _is_full(root)):
            _delete(root, path, last)
    for leftover in (root / "hub").glob("*/blobs/*.incomplete"):  # of killed pods, whose names nobody asks for again
        with suppress(FileNotFoundError):
            if now - leftover.stat().st_mtime > IN_USE_SECONDS:
                leftover.unlink()
    shutil.rmtree(root / ".trash", ignore_errors=True)


def _contents(root: Path) -> Iterator[Path]:
    """Yield every entry that may be deleted, and what belongs to one."""
    yield from (path for path in (root / "hub").glob("*--*") if path.is_dir())
    for folder in ("sources", "datasets", "datasets/files", "datasets/folders", "tokens"):
        for path in (root / folder).glob("*"):
            if path.suffix != ".lock" and path.relative_to(root).as_posix() not in _NAMES_BEFORE_DOT:
                yield path


def _delete(root: Path, path: Path, last: float) -> None:
    """Delete an entry that is as old as it was: what is noted to be used meanwhile stays."""
    trash = root / ".trash" / uuid.uuid4().hex
    trash.parent.mkdir(exist_ok=True)
    with _lock(root):
        if _last_use(root, path) != last:
            return
        path.rename(trash)
    logger.info("deleted from the cache, since it was not used for long: %s", path.relative_to(root))
    if trash.is_dir():
        shutil.rmtree(trash, ignore_errors=True)
    else:
        trash.unlink(missing_ok=True)


def _is_full(root: Path) -> bool:
    usage = shutil.disk_usage(root)
    return usage.free < _LEAST_FREE * usage.total


def _entry_of(root: Path, path: Path) -> Path | None:
    """The entry that holds a path, relative to the cache; None for a path elsewhere."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        return None
    folder = Path(*parts[:2]) if "/".join(parts[:2]) in _NAMES_BEFORE_DOT else Path(*parts[:1])
    if len(parts) <= len(folder.parts):
        return None
    name = parts[len(folder.parts)]
    return folder / (name.partition(".")[0] if folder.as_posix() in _NAMES_BEFORE_DOT else name)


def _last_use(root: Path, path: Path) -> float:
    entry = _entry_of(root, path)
    note = root / "used" / (entry or path.relative_to(root))
    with suppress(FileNotFoundError):
        return note.stat().st_mtime
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _note(root: Path, entries: list[Path]) -> None:
    with _lock(root):
        for entry in entries:
            note = root / "used" / entry
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def _renew(root: Path) -> None:
    pause = threading.Event()
    while not pause.wait(RENEW_SECONDS):
        with _renewal:
            entries = list(_used)
        with suppress(OSError, Timeout):
            _note(root, entries)


def _lock(root: Path) -> FileLock:
    """Held for moments, by whoever notes a use or deletes."""
    # Not the fallback of a file that stays when its process is killed.
    return FileLock(root / ".lock", timeout=_LOCK_SECONDS, mode=0o664, fallback_to_soft=False)


def _try_lock(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root):
        (root / ".lock").touch()
