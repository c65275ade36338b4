"""What a training process says of itself to the watchdog: a file in a folder, written over with each move.

The watchdog is another process, so that one is found too that is stopped, or that never gives up the interpreter's lock.
"""

import faulthandler
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

ENV_HEARTBEATS: Final = "FINETUNE_HEARTBEATS"
"""Set by the watchdog for the processes that it watches: the folder."""
STACKS_SIGNAL: Final = signal.SIGUSR1
"""Makes a process write the stacks of all its threads, whatever it is doing."""
_BYTES = 1024
"""Of a record. It is written at once, so that a reader finds one or the other."""


@dataclass(frozen=True)
class Beat:
    """The newest record of a process."""

    pid: int
    rank: int
    moves: int
    """Counts up with each move."""
    doing: str
    """For people: "training", "loading model …"."""
    step: int
    """The newest step that is done."""
    seconds: float | None
    """Silence after which the process does not move any more; None where that cannot be known."""
    resumed_from: int
    """Step of the checkpoint that the attempt went on from."""
    launches: bool = False
    """Whether it starts the others and waits for their end."""
    ends: bool = False
    """Whether the run is over in it, however it went; of one that starts others, whether it is over in those."""
    finished: bool = False
    """Whether it has done all that the run asks of it."""


_ADAPTER = TypeAdapter(Beat)


class HeartbeatFile:
    """The file of this process."""

    def __init__(self, folder: Path) -> None:
        """From now on this process answers STACKS_SIGNAL, by `stacks_file`."""
        self._path = folder / f"{os.getpid()}.beat"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        # Held for as long as the process lives: faulthandler keeps the descriptor alone.
        self._stacks = stacks_file(folder, os.getpid()).open("ab")
        faulthandler.register(STACKS_SIGNAL, file=self._stacks, all_threads=True)

    def write(self, beat: Beat) -> None:
        """Write over the record before. Raises OSError where there is no room; the process is not watched any more then."""
        try:
            os.pwrite(self._file, _ADAPTER.dump_json(beat).ljust(_BYTES), 0)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise


def stacks_file(folder: Path, pid: int) -> Path:
    """Return where a process writes its stacks."""
    return folder / f"{pid}.stacks"


def read_beats(folder: Path) -> list[Beat]:
    """Return the records of all processes, by rank."""
    beats = []
    for path in folder.glob("*.beat"):
        try:
            beats.append(_ADAPTER.validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue  # not written yet, or not any more
    return sorted(beats, key=lambda beat: beat.rank)
