"""What this machine, or the container on it, has."""

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SYSTEM = Path("/")


def available_cores(root: Path = _SYSTEM) -> int:
    """Return the CPU cores that this process may use: the machine's, or as many whole ones as the container's limit allows.

    `root` is the folder that holds sys/.
    """
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # cgroup v2; "max" means no limit
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, int(quota) // int(period))
    return max(1, cores)


def available_memory(root: Path = _SYSTEM) -> int | None:
    """Return the bytes of CPU memory that this process can still take: the machine's or the container's, whichever is less.

    None where the system does not report it, as outside Linux. `root` is the folder that holds proc/ and sys/.
    """
    left = []
    with suppress(OSError, ValueError, IndexError):
        text = (root / "proc/meminfo").read_text(encoding="ascii")
        left.append(int(text.partition("MemAvailable:")[2].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # cgroup v2; "max" means no limit
        group = root / "sys/fs/cgroup"
        limit, used = (int((group / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        left.append(limit - used + _reclaimable(group / "memory.stat"))
    return max(0, min(left)) if left else None


def _reclaimable(stat: Path) -> int:
    """Return the bytes of files that the kernel caches in memory, and frees before anything is killed."""
    lines = (line.split() for line in stat.read_text(encoding="ascii").splitlines())
    return sum(int(value) for name, value in lines if name in ("inactive_file", "active_file"))


@cache
def version_of(distribution: str) -> str:
    """Return the version that is installed; "not installed" for what runs from its source folder, as this program can."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
