"""The curves of a run for its reports, kept small as the history grows."""

import threading
from collections.abc import Iterable
from typing import Final

from finetune_api.curves import TRAINING_SERIES, Curves
from finetune_api.thinning import Point, make_curves, thin

_MOST: Final = 1024
"""Points of which a report's are chosen: so many take a few milliseconds, and nobody waits for a report."""


class RunCurves:
    """The training's thread and a report's use it; a signal handler too, perhaps in the middle of a change."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._training: list[Point] = []
        self._evaluation: list[Point] = []
        self._steps_per_epoch: float | None = None
        self._made: Curves | None = None

    def restart(self, logs: Iterable[Point], evaluations: Iterable[Point], steps_per_epoch: float | None) -> None:
        """Take another history: that of a run which resumes, or goes back to a checkpoint."""
        with self._lock:
            self._training, self._evaluation, self._steps_per_epoch = [], [], steps_per_epoch
            self._made = None
            for point in logs:
                self._training = _grown(self._training, point)
            for point in evaluations:
                self._evaluation = _grown(self._evaluation, point)

    def log(self, point: Point, epoch: float) -> None:
        """Add what was logged after `epoch` passes over the rows."""
        with self._lock:
            self._training = _grown(self._training, point)
            self._steps_per_epoch = point.step / epoch if epoch else self._steps_per_epoch
            self._made = None

    def evaluation(self, point: Point) -> None:
        """Add an evaluation."""
        with self._lock:
            self._evaluation = _grown(self._evaluation, point)
            self._made = None

    def thinned(self) -> Curves:
        """Return the curves of all of it, as a status has them."""
        with self._lock:
            if self._made is None:
                self._made = make_curves(self._training, self._evaluation, self._steps_per_epoch)
            return self._made


def _grown(points: list[Point], point: Point) -> list[Point]:
    """The points with one more, of a later step; half of them where there are too many."""
    points.append(point)
    return (
        thin(points, [*dict.fromkeys((*TRAINING_SERIES, *point.values))], _MOST // 2) if len(points) > _MOST else points
    )
