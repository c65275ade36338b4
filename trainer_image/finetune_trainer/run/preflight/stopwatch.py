"""The clock of an engine that trains to be timed, and keeps nothing of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.progress.events import LOSS_AND_GRADIENT

_WARM_UP: Final = 2
"""Steps that are not counted where others are: they take memory, and kernels are chosen."""
_ENOUGH_STEPS: Final = 5
_ENOUGH_SECONDS: Final = 20.0
_PATIENCE: Final = 60.0
"""Seconds after which one counted step is enough."""
_MOST_STEPS: Final = 50


class Stopwatch:
    """The events of one training (`TrainingEvents`): it is asked to stop when enough was measured."""

    stopped_early = False

    def __init__(self, scratch: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds, once the device has done what it was given."""
        self.scratch = scratch
        self.stop_requested = False
        self.is_evaluating = False
        self._clock = clock
        self._steps: list[float] = []
        """When the training began, and when each step ended."""
        self._batches: list[float] = []
        """When each batch of the evaluation began or ended, as the engine asks."""

    @property
    def steps(self) -> list[float]:
        """Seconds of each step that counts."""
        seconds = [after - before for before, after in pairwise(self._steps)]
        return seconds[_WARM_UP:] or seconds[-1:]

    @property
    def batch(self) -> float:
        """Mean seconds of a batch of the evaluation; 0 where there was none."""
        return (self._batches[-1] - self._batches[0]) / max(1, len(self._batches) - 1) if self._batches else 0.0

    def ask_to_stop(self) -> bool:
        """Count a batch. An evaluation goes on for `_PATIENCE` at most."""
        self._batches.append(self._clock())
        self.stop_requested = self._batches[-1] - self._batches[0] > _PATIENCE
        return self.stop_requested

    def is_logged(self, step: int) -> bool:
        """Return True: nothing is logged."""
        return True

    def is_evaluated(self, step: int) -> bool:
        """Return False: what is to be evaluated is timed."""
        return False

    def is_saved(self, step: int) -> bool:
        """Return True: nothing is saved."""
        return True

    def begin(self, step: int, total_steps: int, epoch: float, rows: int) -> None:
        """Start the clock."""
        self._steps.append(self._clock())

    def step(self, step: int, epoch: float) -> None:
        """Take the time of a step."""
        self._steps.append(self._clock())
        counted, seconds = len(self._steps) - 1 - _WARM_UP, self._steps[-1] - self._steps[0]
        self.stop_requested = (
            counted >= _MOST_STEPS
            or (counted >= _ENOUGH_STEPS and seconds >= _ENOUGH_SECONDS)
            or (counted >= 1 and seconds >= _PATIENCE)
        )

    def log(
        self, step: int, epoch: float, metrics: dict[str, float], finite: tuple[str, ...] = LOSS_AND_GRADIENT
    ) -> None:
        """Nothing."""

    @contextmanager
    def evaluating(self, rows: int) -> Iterator[None]:
        """Time the batches within; the training is over then."""
        self.is_evaluating = True
        self._batches = [self._clock()]
        yield
        self.is_evaluating = False
        self.stop_requested = True

    def evaluated(self, step: int, epoch: float, metrics: dict[str, float], by_class: ByClass | None = None) -> None:
        """Nothing."""

    def check_finite(self, step: int, metrics: dict[str, float]) -> None:
        """Nothing."""

    def save(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
