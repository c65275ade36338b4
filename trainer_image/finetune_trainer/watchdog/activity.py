"""Signs of life of a process and of what it has started: time on a core, and bytes read, written and received."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

SLICE_SECONDS: Final = 60.0
"""Activity is counted in slices of this length: of one that is over, it is known whether anything happened in it."""
_LEAST_SHARE_OF_A_CORE: Final = 0.01
_LEAST_BYTES: Final = 2**20
_NETWORK: Final = Path("/proc/net/dev")


@dataclass(frozen=True)
class Sample:
    """What was used until a moment."""

    cpu_seconds: float
    bytes: int


class Idleness:
    """For how long a process has been idle."""

    def __init__(self, now: float, sample: Sample) -> None:
        self.seconds = 0.0
        self._since, self._sample = now, sample

    def is_due(self, now: float) -> bool:
        """Return whether a slice is over, so that `add` wants a sample."""
        return now - self._since >= SLICE_SECONDS

    def add(self, now: float, sample: Sample) -> None:
        """Take in what was used until now."""
        seconds = now - self._since
        # Of processes that have ended meanwhile nothing is left to count, so that less than before is activity too.
        computed = abs(sample.cpu_seconds - self._sample.cpu_seconds) >= _LEAST_SHARE_OF_A_CORE * seconds
        moved = abs(sample.bytes - self._sample.bytes) >= _LEAST_BYTES
        self.seconds = 0.0 if computed or moved else self.seconds + seconds
        self._since, self._sample = now, sample


def sample(pid: int) -> Sample:
    """Return what a process and its descendants have used, and what the pod has received and sent."""
    cpu, count = 0.0, _network()
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        processes = []
    for process in processes:
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            io = process.io_counters() if hasattr(process, "io_counters") else None
            count += (io.read_chars + io.write_chars + io.read_bytes) if io else 0
        except psutil.Error:
            continue
    return Sample(cpu, count)


def has_ended(pid: int) -> bool:
    """Return whether nothing of the process is left but, perhaps, its entry for the one that started it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped the process; a debugger that looks at it has not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _network() -> int:
    # Of the network that this process sees. What comes from a socket is in no count of a process.
    try:
        lines = _NETWORK.read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return 0
    fields = [line.replace(":", " ").split() for line in lines]
    return sum(int(each[1]) + int(each[9]) for each in fields if each[0] != "lo")
