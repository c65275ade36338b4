"""`history.jsonl`: one JSON line for each log, evaluation and adjustment. A resumed run reads its evaluations here."""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ValidationError

from finetune_api.thinning import Point
from finetune_trainer.base.files import write_atomically
from finetune_trainer.base.redaction import redact
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.progress.curves import RunCurves
from finetune_trainer.storage.disk_errors import output_failures

Metrics = dict[str, float]
Kind: TypeAlias = Literal["log", "evaluation", "adjustment"]


class Line(BaseModel):
    """One line of the file. An adjustment's metrics are the fields of `BatchPlan`."""

    kind: Kind
    step: int
    epoch: float
    metrics: Metrics
    by_class: ByClass | None = None
    """Of an evaluation of classes."""

    def to_json(self) -> str:
        """Return the line of the file, without its newline."""
        return self.model_dump_json(exclude_none=True)


@dataclass(frozen=True)
class Measured:
    """A log or an evaluation, as a tracker gets it."""

    kind: Kind
    step: int
    epoch: float
    metrics: Metrics
    time: float
    """When it was measured, in seconds since 1970; of an earlier attempt when this one began."""

    def grouped(self) -> Metrics:
        """Return the metrics by names such as train/loss and eval/loss, as transformers' own trackers call them."""
        if self.kind == "evaluation":
            return {f"eval/{name.removeprefix('eval_')}": value for name, value in self.metrics.items()}
        return {f"train/{name}": value for name, value in {"epoch": self.epoch, **self.metrics}.items()}


@dataclass(frozen=True)
class Sent:
    """The newest step of each kind that a tracker has; it has all before them."""

    log: int = -1
    evaluation: int = -1

    def has(self, line: Line) -> bool:
        """Return whether a line needs not be sent."""
        return line.kind == "adjustment" or line.step <= (self.log if line.kind == "log" else self.evaluation)

    def with_step(self, kind: Literal["log", "evaluation"], step: int) -> "Sent":
        return replace(self, **{kind: max(step, self.log if kind == "log" else self.evaluation)})

    def with_points(self, points: Sequence[Measured]) -> "Sent":
        sent = self
        for point in points:
            if point.kind != "adjustment":
                sent = sent.with_step(point.kind, point.step)
        return sent


class History:
    """The file, with no line twice: a resumed run drops what lies beyond its checkpoint.

    The training's thread writes it; the thread that saves checkpoints reads it.
    """

    def __init__(self, path: Path, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after a line that must not be lost: an evaluation or adjustment."""
        self._path = path
        self._changed = changed
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._began = time.time()
        self._times: dict[tuple[Kind, int], float] = {}
        self.curves = RunCurves()

    def resume(self, step: int) -> None:
        """Read the lines up to `step`, and the adjustments after it. A torn last line is left out."""
        lines = [line for line in _read(self._path) if line.step <= step or line.kind == "adjustment"]
        with self._lock:
            self._lines = lines
        self.curves.restart(_points(lines, "log"), _points(lines, "evaluation"), _steps_per_epoch(lines))

    def begin(self) -> None:
        """Rewrite the file with the lines that `resume` read; from here on lines are appended."""
        with output_failures(self._path.parent):
            write_atomically(self._path, "".join(f"{line.to_json()}\n" for line in self._lines).encode())

    def append(self, kind: Kind, step: int, epoch: float, metrics: Metrics, by_class: ByClass | None = None) -> None:
        """Append a line. An evaluation or adjustment is on the disk when this returns.

        Args:
            epoch: Passes over the training rows; written with four decimals.

        Raises:
            TrainerError: OUTPUT when the file cannot be written.
        """
        line = _clean(Line(kind=kind, step=step, epoch=round(epoch, 4), metrics=metrics, by_class=by_class))
        with self._lock:
            self._lines.append(line)
            self._times[kind, step] = time.time()
        if kind == "log":
            self.curves.log(Point(line.step, line.metrics), epoch)
        elif kind == "evaluation":
            self.curves.evaluation(Point(line.step, line.metrics))
        with output_failures(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line.to_json()}\n")
            if kind != "log":
                file.flush()
                os.fsync(file.fileno())
        if kind != "log":
            self._changed()

    def count_after(self, sent: Sent) -> int:
        """Return how many logs and evaluations a tracker has not got."""
        with self._lock:
            return sum(not sent.has(line) for line in self._lines)

    def after(self, sent: Sent, most: int) -> list[Measured]:
        """Return the logs and evaluations that a tracker has not got, oldest first, and at most so many: the training waits for the lock meanwhile."""
        with self._lock:
            lines = islice((line for line in self._lines if not sent.has(line)), most)
            return [
                Measured(
                    line.kind, line.step, line.epoch, line.metrics, self._times.get((line.kind, line.step), self._began)
                )
                for line in lines
            ]

    def evaluations(self) -> list[Line]:
        """Return the evaluations, oldest first."""
        return self._of_kind("evaluation")

    def adjustments(self) -> list[Line]:
        """Return the changes of batches for want of memory or for other processes, oldest first."""
        return self._of_kind("adjustment")

    def evaluation_at(self, step: int) -> Metrics:
        """Return the metrics of the evaluation after `step`; empty where there was none."""
        return next((line.metrics for line in self.evaluations() if line.step == step), {})

    def results_at(self, step: int) -> str | None:
        """Return the evaluation after `step` as JSON for a file of its own; None where there was none."""
        line = next((line for line in self.evaluations() if line.step == step), None)
        if line is None:
            return None
        by_class = {"by_class": line.by_class.model_dump(exclude_none=True)} if line.by_class else {}
        results = {"step": line.step, "epoch": line.epoch, **line.metrics, **by_class}
        return json.dumps(results, indent=1, ensure_ascii=False) + "\n"

    def log_at(self, step: int) -> Metrics:
        """Return the metrics of the log after `step`; empty where there was none."""
        return next((line.metrics for line in self._of_kind("log") if line.step == step), {})

    def newest(self) -> Metrics:
        """Return the newest value of each metric."""
        with self._lock:
            measured = [line for line in self._lines if line.kind != "adjustment"]
        return {name: value for line in measured for name, value in line.metrics.items()}

    def _of_kind(self, kind: Kind) -> list[Line]:
        with self._lock:
            return [line for line in self._lines if line.kind == kind]


def _clean(line: Line) -> Line:
    """Return a line without secrets: names of classes come from the data."""
    return Line.model_validate(redact.tree(line.model_dump()))


def _points(lines: Sequence[Line], kind: Kind) -> list[Point]:
    return [Point(line.step, line.metrics) for line in lines if line.kind == kind]


def _steps_per_epoch(lines: Sequence[Line]) -> float | None:
    return next((line.step / line.epoch for line in reversed(lines) if line.kind == "log" and line.epoch), None)


def _read(path: Path) -> list[Line]:
    lines = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError:
            continue
    return lines
