"""Files of a git commit, as they were committed."""

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Final

_TIME: Final = 1577836800
"""Of every file: 2020 began."""


def commit_of(root: Path) -> str:
    """Return the checked out commit, in full."""
    return _git(root, "rev-parse", "HEAD").decode().strip()


def read(root: Path, commit: str, path: str) -> bytes:
    """Return a file of a commit. Raises KeyError where there is none."""
    try:
        return _git(root, "show", f"{commit}:{path}")
    except subprocess.CalledProcessError as error:
        raise KeyError(f"{path} of commit {commit}") from error


def export(root: Path, commit: str, folder: Path) -> None:
    """Write all files of a commit, and no others, into a folder.

    What is the same in two commits is so with its time, which podman's cache of layers goes by too.
    """
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", commit))) as tar:
        tar.extractall(folder, filter=_at_one_time)  # noqa: S202 - ruff knows one filter alone


def _at_one_time(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    return tarfile.data_filter(member.replace(mtime=_TIME), folder)


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True).stdout
