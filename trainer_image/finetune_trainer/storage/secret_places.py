"""Where Secrets are on this machine, and that no model or data set is read from there.

What is read as data is shown: names of columns, rows that cannot be used, classes. A user may name a path, and a volume may
have links, so it is the place that a path leads to that counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from finetune_api.reasons import Reason
from finetune_api.report import ENV_RUN_SECRET, ENV_SECRET_PATHS, ENV_SECRETS, ENV_TOKEN
from finetune_trainer.base.errors import bad_configuration


def secret_paths() -> list[Path]:
    """Return the files and folders of Secrets that the operator has mounted."""
    named = [os.environ.get(name, "") for name in (ENV_SECRETS, ENV_RUN_SECRET)]
    return [Path(path) for path in (*named, *os.environ.get(ENV_SECRET_PATHS, "").split(":")) if path]


def check_holds_no_secret(path: Path, source: str, role: Literal["model", "dataset", "output"]) -> None:
    """Check that neither a path nor a link below it leads to a Secret, to the token of the pod, or to what the kernel shows of processes.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the field and the link.
    """
    places = _places()
    for at, real in _real_paths(path):
        if _reaches(real, places):
            raise bad_configuration(
                f"{role}.source {source}: {at} leads to a Secret, and what is read as data is shown",
                "keep data on a volume or in a bucket, in a folder without Secrets and without links to them",
                Reason.SECRET_AS_SOURCE,
            )


def reaches_secrets(folder: Path) -> bool:
    """Return whether a folder is of a Secret, or above one: what it holds is not told."""
    return _reaches(Path(os.path.realpath(folder)), _places())


def _places() -> list[Path]:
    token = os.environ.get(ENV_TOKEN)
    places = [Path(os.path.realpath(place)) for place in (*secret_paths(), *([Path(token).parent] if token else []))]
    return [*places, Path("/proc")]  # with the variables of the environment


def _reaches(real: Path, places: list[Path]) -> bool:
    return any(real.is_relative_to(place) or place.is_relative_to(real) for place in places)


def _real_paths(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a path, and every folder and link that is below it or that a link below it leads to, each with its place."""
    start = Path(os.path.realpath(path))
    yield path, start
    pending, seen = [(path, start)], {start}
    while pending:
        shown, folder = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # a file; or one that cannot be read, which its reader says
            continue
        for entry in entries:
            if not (entry.is_symlink() or entry.is_dir(follow_symlinks=False)):
                continue
            real = Path(os.path.realpath(entry.path))
            yield shown / entry.name, real
            if real not in seen:
                seen.add(real)
                pending.append((shown / entry.name, real))
