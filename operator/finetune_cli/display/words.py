"""Parts of a job in a few characters: its phase, progress, best metric, why it is so, what it cost and how old it is."""

from datetime import timedelta
from typing import Final

from rich.text import Text

from finetune.snapshot import Snapshot
from finetune.summary import NOTHING, SHAPES, loss_line
from finetune_api.status import TrackedRun
from finetune_cli.display.curve import sparkline

_COLOURS: Final = {
    "Pending": "yellow",
    "Queued": "yellow",
    "Preparing": "cyan",
    "Running": "blue",
    "Suspended": "magenta",
    "Succeeded": "green",
    "Failed": "red",
}
_SPARK_POINTS: Final = 7
_BLOCKS: Final = 10
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def phase_text(job: Snapshot) -> Text:
    """Return shape and phase in the phase's colour."""
    return Text(f"{SHAPES[job.phase]} {job.phase}", style=_COLOURS[job.phase])


def progress_bar(job: Snapshot, blocks: int = _BLOCKS) -> str:
    """Return bar, percent and the time that is left, such as `███████░░░ 67 %  9m`."""
    progress = job.status.progress
    if progress is None:
        return NOTHING
    full = progress.percent * blocks // 100
    left = f"  {duration(timedelta(seconds=progress.eta_seconds))}" if progress.eta_seconds and not job.ended else ""
    return f"{'█' * full}{'░' * (blocks - full)} {progress.percent:3d} %{left}"


def loss_bars(job: Snapshot) -> str:
    """Return the curve of the loss as bars of a character."""
    return sparkline(loss_line(job, _SPARK_POINTS))


def gpu_hours(job: Snapshot) -> str:
    """Return the GPU-hours that it used."""
    usage = job.status.usage
    return f"{usage.gpu_seconds.total / 3600:.1f}" if usage else NOTHING


def tracked(run: TrackedRun) -> str:
    """Return where the run is at a tracker, and what has not arrived there."""
    return f"{run.url or NOTHING}{f' ({run.message})' if run.message else ''}"


def duration(span: timedelta) -> str:
    """Return a time in its largest unit or two, such as 14m, 2h, 1d3h."""
    seconds = max(0, int(span.total_seconds()))
    for position, (unit, size) in enumerate(_UNITS):
        count, rest = divmod(seconds, size)
        if count:
            smaller, its_size = _UNITS[position + 1] if position + 1 < len(_UNITS) else ("", 1)
            more = f"{rest // its_size}{smaller}" if count < 10 and smaller and rest // its_size else ""
            return f"{count}{unit}{more}"
    return "0s"
