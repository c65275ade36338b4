"""What is there where something is missed: most of what is not found lies beside the place that was named, under a name like it."""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from finetune_trainer.base.text import did_you_mean, named
from finetune_trainer.storage.secret_places import reaches_secrets

_MOST = 8
_MOST_READ = 10_000
"""Of a folder's names: it may have millions, and is read from a disk that is far away."""


def nothing_at(path: Path) -> str:
    """Return `there is nothing at PATH`, with what the nearest folder above it holds that is there."""
    missed = path
    while not missed.parent.is_dir() and missed.parent != missed:
        missed = missed.parent
    return f"there is nothing at {path}{beside(missed.name, f'the folder {missed.parent}', names_in(missed.parent))}"


def names_in(folder: Path) -> list[str] | None:
    """Return what a folder holds that may be shown, of more than `_MOST_READ` one more; None where that is not known, or nobody's to know."""
    if reaches_secrets(folder):
        return None
    try:
        with os.scandir(folder) as found:
            shown = (each.name for each in found if not each.name.startswith("."))
            names = sorted(islice(shown, _MOST_READ + 1))
        return names if names or not any(folder.iterdir()) else None
    except OSError:
        return None


def beside(missed: str, where: str, names: Iterable[str] | None) -> str:
    """Return `; WHERE has a, b; did you mean 'a'?`, for the end of a sentence about what is missed there; empty if nothing is known."""
    if names is None:
        return ""
    every = list(names)
    if not every:
        return f"; {where} is empty"
    some = f"{named(every[:_MOST])} and others" if len(every) > _MOST_READ else named(every, _MOST)
    return f"; {where} has {some}{did_you_mean(missed, every)}"
