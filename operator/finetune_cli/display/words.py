"""Parts of a job in a few characters: its phase, progress, best metric, why it is so, what it cost and how old it is."""

from datetime import timedelta
from typing import Final

from rich.text import Text

from finetune.snapshot import Snapshot
from finetune_api.status import MetricValue
from finetune_cli.display.curve import sparkline

SHAPES: Final = {
    "Pending": ("○", "yellow"),
    "Queued": ("○", "yellow"),
    "Preparing": ("◐", "cyan"),
    "Running": ("●", "blue"),
    "Suspended": ("❙", "magenta"),
    "Succeeded": ("✓", "green"),
    "Failed": ("✕", "red"),
}
"""A phase has a shape and a colour, never a colour alone."""
NOTHING: Final = "–"
_BLOCKS: Final = 10
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def phase_text(job: Snapshot) -> Text:
    """Return shape and phase in the phase's colour."""
    shape, colour = SHAPES[job.phase]
    return Text(f"{shape} {job.phase}", style=colour)


def progress_bar(job: Snapshot, blocks: int = _BLOCKS) -> str:
    """Return bar, percent and the time that is left, such as `███████░░░ 67 %  9m`."""
    progress = job.status.progress
    if progress is None:
        return NOTHING
    full = progress.percent * blocks // 100
    left = f"  {duration(timedelta(seconds=progress.eta_seconds))}" if progress.eta_seconds and not job.ended else ""
    return f"{'█' * full}{'░' * (blocks - full)} {progress.percent:3d} %{left}"


def loss_line(job: Snapshot, width: int = 7) -> str:
    """Return the curve of the loss as bars of a character."""
    curves = job.status.curves
    return sparkline([value for _, value in curves.points("loss")], width) if curves else ""


def best(job: Snapshot) -> str:
    """Return the metric of the best checkpoint, or else the newest of the evaluations, such as `accuracy 0.581`."""
    chosen = job.status.best_checkpoint
    if chosen is not None:
        return f"{metric_name(chosen.metric)} {short_number(chosen.value)}"
    evaluated = [each for each in job.status.metrics if each.name.startswith("eval_") and each.name != "eval_loss"]
    return metric_text(evaluated[0]) if evaluated else NOTHING


def metric_text(metric: MetricValue) -> str:
    """Return name and value of a metric, rounded for reading."""
    return f"{metric_name(metric.name)} {short_number(metric.value)}"


def metric_name(name: str) -> str:
    """Return the name as `evaluation.metrics` has it."""
    return name.removeprefix("eval_")


def short_number(text: str) -> str:
    """Return a number in four digits or so; whatever is none as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def why(job: Snapshot) -> str:
    """Return in a line why the job is so: reason and message of a failure or of what it waits for."""
    status = job.status
    if job.phase == "Failed" and status.failure is not None:
        return f"{status.failure.reason}: {status.failure.message}"
    if job.phase in ("Running", "Succeeded"):
        return f"{status.warnings[0].reason}: {status.warnings[0].message}" if status.warnings else NOTHING
    if job.wants_new_run:
        return "a new run is asked for (spec.runToken)"
    return status.message or "no operator has seen it yet"


def gpu_hours(job: Snapshot) -> str:
    """Return the GPU-hours that it used."""
    usage = job.status.usage
    return f"{usage.gpu_seconds.total / 3600:.1f}" if usage else NOTHING


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
