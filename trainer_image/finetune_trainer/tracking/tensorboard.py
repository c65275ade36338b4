"""TensorBoard: event files in the output, which are made anew from the history by each attempt."""

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from finetune_api.tracking import Tracking
from finetune_trainer.progress.history import Measured, Sent
from finetune_trainer.storage.layout import TENSORBOARD
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.tracker import Description, Outcome

_numbers: Final = itertools.count()
"""Two files of one second have names of their own."""


class TensorBoardTracker:
    """One event file, whose content is that of the history: what a resumed run takes back is not in it."""

    name = "tensorboard"

    def __init__(self, output: Output, run: Description) -> None:
        self._output = output
        self._run = run
        self._folder = tempfile.TemporaryDirectory(prefix="finetune-tensorboard-", ignore_cleanup_errors=True)
        self._writer: EventsWriter | None = None
        self._changed = False
        self._brought = float("-inf")

    @property
    def url(self) -> str | None:
        return self._output.uri_of(self._output.path / TENSORBOARD)

    def open(self) -> Sent:
        if self._writer:
            self._writer.close()
        for old in Path(self._folder.name).iterdir():
            old.unlink()
        self._output.remove_files(TENSORBOARD)
        self._writer = EventsWriter(f"{self._folder.name}/events", f".{self._run.id}.{next(_numbers)}")
        # By this a TensorBoard that is open drops what it has read of the former file.
        self._writer.write_event(Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START)))
        rows = [f"| {name} | {value} |" for name, value in self._run.parameters.items()]
        table = summary.text("parameters", "\n".join(["| setting | value |", "|---|---|", *rows]))
        self._writer.write_event(Event(wall_time=time.time(), step=0, summary=table))
        self._bring()
        return Sent()

    def send(self, points: Sequence[Measured]) -> None:
        if self._writer is None:
            raise RuntimeError("the event file is not open")
        for point in points:
            for name, value in point.grouped().items():
                scalar = summary.scalar(name, value)
                self._writer.write_event(Event(wall_time=point.time, step=point.step, summary=scalar))
        self._changed = True
        if time.monotonic() - self._brought >= self._output.log_pause_seconds:
            self._bring()

    def finish(self, outcome: Outcome) -> None:
        if self._changed:
            self._bring()

    def _bring(self) -> None:
        if self._writer is None:
            return
        self._writer.flush()
        (file,) = Path(self._folder.name).iterdir()
        self._output.grow_file(f"{TENSORBOARD}/{file.name}", file.read_bytes())
        self._changed, self._brought = False, time.monotonic()


def make(settings: Tracking, output: Output, run: Description) -> TensorBoardTracker:
    """Return the event file of a run in its output."""
    return TensorBoardTracker(output, run)
