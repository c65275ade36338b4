"""Where this process leaves its final word: in the pod's termination message, or with `launch`, which started it."""

import ctypes
import os
import signal
import sys
from pathlib import Path

from finetune_api.report import ENV_TERMINATION_LOG

ENV_WORDS = "FINETUNE_WORDS"
"""Set by `launch` for each process that it starts: a folder, where the rank names the file."""


def is_launched() -> bool:
    """Whether this is one of several processes, started by `launch`."""
    return ENV_WORDS in os.environ


def stop_with_launcher() -> None:
    """Have this process get SIGTERM when the one that launched it is gone: nobody would stop it, and it would go on
    writing to an output that the next attempt writes to as well.

    The launcher signals process groups. What this process forks leaves its group: workers that load data would die of
    a SIGTERM, and the save that it asks for with them. They end when they find their parent gone.
    """
    if is_launched() and sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)
        os.register_at_fork(after_in_child=lambda: os.setpgid(0, 0))


def is_main() -> bool:
    """Whether this is the process that speaks for the run."""
    return not is_launched() or os.environ["RANK"] == "0"


def place() -> Path | None:
    """The file for the final word, if anyone wants it."""
    if is_launched():
        return Path(os.environ[ENV_WORDS]) / f"{os.environ['RANK']}.json"
    path = os.environ.get(ENV_TERMINATION_LOG)
    return Path(path) if path else None
