"""Tokens that the stages and attempts of one job hand to each other, where the operator names a folder for that.

They are copied and not read in place: training reads rows in random order, which a volume of the network is slow at.
"""

import logging
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from finetune_api.report import ENV_TOKENS

logger = logging.getLogger(__name__)


def fetch(place: Path) -> None:
    """Bring the file of this name from the shared folder to `place`, if it is there and not here."""
    shared = _shared(place)
    if shared is not None and shared.exists() and not place.exists() and _copy(shared, place):
        logger.info("took over the tokens that an earlier stage of the job has left")


def leave(place: Path) -> None:
    """Copy a file to the shared folder, unless it is there. Where that fails, such as on a full volume, it is made again."""
    shared = _shared(place)
    if shared is not None and place.exists() and not shared.exists():
        _copy(place, shared)


def clear() -> None:
    """Nothing needs them any more."""
    if folder := _folder():
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
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
        partial.replace(target)
    except OSError as error:
        logger.info("tokens cannot be copied from %s to %s: %s", source, target, error)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return False
    return True
