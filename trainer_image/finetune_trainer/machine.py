"""What this machine, or the container on it, has."""

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SYSTEM = Path("/")


def available_cores(root: Path = _SYSTEM) -> int:
    """CPU cores that this process may use: the machine's, or as many whole ones as the container's limit is worth.

    `root` is the folder that holds sys/.
    """
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # cgroup v2; "max" means no limit
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, int(quota) // int(period))
    return max(1, cores)


def version_of(distribution: str) -> str:
    """The version that is installed; "not installed" for what runs from its source folder, as this program can."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
