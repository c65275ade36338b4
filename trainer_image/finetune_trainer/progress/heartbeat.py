"""How long a run may make no move, by the steps that it has made, and its word to the watchdog.

A step that is late is a stall only once it is known how long steps take: the first ones compile, and so do those after a
model was loaded again. Whatever else a run does has no usual length, so that the watchdog looks for other signs of life.

A run makes no step while the process that launched one of its own is stopped: see `Heartbeat.step`.
"""

import logging
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from finetune_api.report import ENV_PROGRESS_DEADLINE, Stage
from finetune_trainer.base.heartbeat import ENV_HEARTBEATS, Beat, HeartbeatFile
from finetune_trainer.processes.child import is_launched
from finetune_trainer.watchdog.activity import is_stopped

LEAST_SECONDS: Final = 120.0
USUAL_STEPS: Final = 20
FIRST_STEPS: Final = 3
"""So many are taken for no measure."""
LAUNCHER_SECONDS: Final = 120.0
"""So long a launcher may make no move, beyond what it waits for."""
ENDING_SECONDS: Final = 120.0
"""So long a process may take to end, once it has reported how."""
_RECENT = 50
_LOOK_SECONDS = 1.0
"""Between two looks at the launcher."""
logger = logging.getLogger(__name__)

_DOING_LETTERS = 200


def usual_deadline(step_seconds: float, longest_evaluation: float) -> float:
    """Return the silence, in seconds, after which a run has stalled whose steps usually take `step_seconds`."""
    return max(LEAST_SECONDS, USUAL_STEPS * step_seconds, longest_evaluation)


class Heartbeat:
    """Of one training process. Threads that train and save call it."""

    def __init__(
        self,
        folder: Path | None = None,
        asked: float | None = None,
        rank: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`asked` is `runPolicy.progressDeadlineSeconds`; without a folder nobody watches."""
        self._folder, self._asked, self._rank, self._clock = folder, asked, rank, clock
        self._file: HeartbeatFile | None = None
        self._lock = threading.Lock()
        self._stage: Stage = "Preparing"
        self._doing = ""
        self._since = clock()
        self._moves = self._step = self._resumed_from = self._steps = 0
        self._last_step: float | None = None
        """When the last move was a step: the time of that."""
        self._step_seconds: deque[float] = deque(maxlen=_RECENT)
        self._longest_evaluation: float | None = None
        self._launches = self._ends = False
        self._may_take: float | None = None
        """As `deadline`, of a launcher, and where it is over."""
        self._looked_at_launcher = clock()

    @classmethod
    def from_environment(cls) -> "Heartbeat":
        """Return that of this process, as the watchdog wants it; without one a run takes as long as it takes."""
        folder, asked = os.environ.get(ENV_HEARTBEATS), os.environ.get(ENV_PROGRESS_DEADLINE, "")
        seconds = float(asked) if asked.isdigit() else None
        return cls(Path(folder) if folder else None, seconds, int(os.environ.get("RANK", "0")))

    @property
    def deadline(self) -> float | None:
        """Longest silence in seconds; None where nobody watches, or it is not known how long what is done now takes."""
        if self._folder is None or self._stage not in ("Training", "Evaluating") or self._steps <= FIRST_STEPS:
            return None
        if self._stage == "Evaluating" and self._longest_evaluation is None:
            return None
        evaluation = self._longest_evaluation or 0.0
        if self._asked is not None:
            return max(self._asked, evaluation) if self._stage == "Evaluating" else self._asked
        return usual_deadline(statistics.median(self._step_seconds), evaluation)

    def resumed_from(self, step: int) -> None:
        self._resumed_from = self._step = step

    def begin(self) -> None:
        """Say that the process is there, before anything that takes time."""
        self.stage("Preparing", "starting")

    def launches(self, doing: str, takes: float | None = 0.0, *, is_over: bool = False) -> None:
        """Say that this process, which starts those that train and waits for their end, moves.

        Args:
            doing: For people.
            takes: Seconds for which it may rightly do that without another word; None where that is not known.
            is_over: Whether those that train are told to end, and need not move any more.
        """
        self._launches, self._ends, self._doing = True, is_over, doing
        self._may_take = None if takes is None else takes + min(LAUNCHER_SECONDS, self._asked or LAUNCHER_SECONDS)
        self.beat()

    def ends(self, seconds: float | None) -> None:
        """Say that the run is over in this process, which ends within so many seconds, if that is known."""
        self._ends, self._doing, self._may_take = True, "ending", seconds
        self.beat()

    def stage(self, stage: Stage, doing: str | None) -> None:
        """Begin to do something else, or more of the same."""
        now = self._clock()
        if self._stage == "Evaluating" and stage == "Training":
            self._longest_evaluation = max(self._longest_evaluation or 0.0, now - self._since)
        if stage == "Preparing":
            self._steps = 0
            self._step_seconds.clear()
        self._stage, self._doing, self._since = stage, doing or stage.lower(), now
        self._last_step = None
        self.beat()

    def step(self, step: int) -> None:
        """Take in that a step is done.

        Return once the launcher of this process goes on, if it is stopped. Nobody would see how this process ends meanwhile, or tell it
        to save and stop. The run stands still with it, which its watchdog and the status see.
        """
        now = self._clock()
        self._steps += 1
        if self._last_step is not None and self._steps > FIRST_STEPS:
            self._step_seconds.append(now - self._last_step)
        elif self._steps > FIRST_STEPS and not self._step_seconds:
            self._step_seconds.append(now - self._since)
        self._last_step, self._step = now, step
        self.beat()
        if self._folder is not None and is_launched() and now - self._looked_at_launcher >= _LOOK_SECONDS:
            while is_stopped(os.getppid()):
                time.sleep(_LOOK_SECONDS)
            self._looked_at_launcher = self._clock()

    def beat(self) -> None:
        """Say that the process moves."""
        with self._lock:
            try:
                self._write()
            except OSError as error:  # never worth a run
                logger.warning("the run is not watched any more: %s", error)
                self._folder = None

    def _write(self) -> None:
        if self._folder is not None:
            self._file = self._file or HeartbeatFile(self._folder)
            self._moves += 1
            beat = Beat(
                pid=os.getpid(),
                rank=self._rank,
                moves=self._moves,
                doing=self._doing[:_DOING_LETTERS],
                step=self._step,
                seconds=self._may_take if self._launches or self._ends else self.deadline,
                resumed_from=self._resumed_from,
                launches=self._launches,
                ends=self._ends,
                finished=self._stage == "Finished",
            )
            self._file.write(beat)
