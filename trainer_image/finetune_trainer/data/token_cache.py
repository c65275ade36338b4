"""Tokens that the stages and attempts of one job hand to each other, and the jobs of a namespace, where the operator names a folder.

They are copied and not read in place: training reads rows in random order, which a volume of the network is slow at.
"""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from finetune_api.report import ENV_TOKENS
from finetune_trainer.base.files import sync_file
from finetune_trainer.storage.kept_downloads import SHARE
from finetune_trainer.storage.shared_cache import shared_root, use

logger = logging.getLogger(__name__)


def fetch(place: Path) -> None:
    """Bring the file of this name from the shared folder to `place`, if it is there and not here."""
    shared = _shared(place)
    if shared is not None and shared.exists() and not place.exists() and _copy(shared, place):
        logger.info("took over the tokens that an earlier stage of the job, or another job, has left")


def leave(place: Path) -> None:
    """Copy a file to the shared folder, unless it is there. Where that fails, such as on a full volume, it is made again."""
    shared = _shared(place)
    if shared is not None and place.exists() and not shared.exists() and (shared_root() or _has_room(place, shared)):
        _copy(place, shared)


def _has_room(place: Path, shared: Path) -> bool:
    """Whether the volume of an output is large enough to hold a file for a while that is no part of it."""
    try:
        shared.parent.mkdir(parents=True, exist_ok=True)
        return place.stat().st_size <= shutil.disk_usage(shared.parent).free // SHARE
    except OSError:
        return False


@contextmanager
def once(place: Path) -> Iterator[None]:
    """Within this no other job makes the same tokens: it waits, and takes them over."""
    shared = _shared(place)
    if shared is None or shared_root() is None:
        yield
        return
    use(shared)
    shared.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{shared}.lock"):
        yield


def clear() -> None:
    """Nothing needs those of the job's own folder any more."""
    if folder := os.environ.get(ENV_TOKENS):
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
    if root := shared_root():
        return root / "tokens"
    path = os.environ.get(ENV_TOKENS)
    return Path(path) if path else None


def _shared(place: Path) -> Path | None:
    folder = _folder()
    return None if folder is None else folder / place.name


def _copy(source: Path, target: Path) -> bool:
    """Complete or absent. Whether it worked."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        sync_file(partial)
        partial.replace(target)
    except OSError as error:
        logger.info("tokens cannot be copied from %s to %s: %s", source, target, error)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return False
    return True
