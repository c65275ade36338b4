"""`history.jsonl`: one line a log or evaluation. It is where evaluations survive a restart."""

import os
import threading
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from finetune_trainer.storage import write_atomically

Metrics = dict[str, float]


class Line(BaseModel):
    """One line of the file."""

    kind: Literal["log", "evaluation"]
    step: int
    epoch: float
    metrics: Metrics


class History:
    """The file, with no line twice: a resumed run drops what lies beyond its checkpoint.

    The training's thread writes it; the thread that saves checkpoints reads it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._lines: list[Line] = []

    def resume(self, step: int) -> None:
        """Take the lines up to `step`; those after it and a torn last one are not read."""
        self._lines = [line for line in _read(self._path) if line.step <= step]

    def begin(self) -> None:
        """Drop from the file what `resume` did not read; from here on lines are appended."""
        write_atomically(self._path, "".join(f"{line.model_dump_json()}\n" for line in self._lines))

    def append(self, kind: Literal["log", "evaluation"], step: int, epoch: float, metrics: Metrics) -> None:
        """Add a line. An evaluation is on the disk when this returns."""
        line = Line(kind=kind, step=step, epoch=round(epoch, 4), metrics=metrics)
        with self._lock:
            self._lines.append(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line.model_dump_json()}\n")
            if kind == "evaluation":
                file.flush()
                os.fsync(file.fileno())

    def evaluations(self) -> list[Line]:
        """The evaluations, oldest first."""
        with self._lock:
            return [line for line in self._lines if line.kind == "evaluation"]

    def evaluation_at(self, step: int) -> Metrics:
        """The metrics of the evaluation after `step`; empty where there was none."""
        return next((line.metrics for line in self.evaluations() if line.step == step), {})

    def newest(self) -> Metrics:
        """The newest value of each metric."""
        return {name: value for line in self._lines for name, value in line.metrics.items()}


def _read(path: Path) -> list[Line]:
    lines = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError:
            continue
    return lines
