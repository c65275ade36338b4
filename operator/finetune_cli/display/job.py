"""A job at a glance: its head, bar and curve."""

from rich.console import Console, Group, RenderableType
from rich.text import Text

from finetune.snapshot import Snapshot
from finetune.summary import NOTHING, best, metric_text, unseen, why
from finetune_cli.display.curve import LINES, draw
from finetune_cli.display.words import gpu_hours, phase_text, progress_bar, tracked

_WIDEST_BAR = 40
_NARROWEST_BAR = 3
_BESIDE_BAR = 16
"""Columns of the percentage and of the time that is left."""


def job_line(job: Snapshot) -> str:
    """Return the job in one line, for logs and files."""
    progress = f"  {progress_bar(job)}" if job.status.progress else ""
    message = job.status.message or unseen(job)
    after = f": {message}" if message else ""
    return f"{job.name}  {job.phase}{progress}{after}"


def job_view(job: Snapshot, width: int, height: int | None = None) -> RenderableType:
    """Return head, bar, numbers and the curve of the loss, `width` columns wide; the curve as high as `height` leaves it."""
    head = Text.assemble((job.name, "bold"), "  ", phase_text(job))
    if message := job.status.message or unseen(job):
        head.append(f"  {message}")
    parts: list[RenderableType] = [head]
    if job.status.progress is not None:
        parts.append(Text(progress_bar(job, min(_WIDEST_BAR, max(_NARROWEST_BAR, width - _BESIDE_BAR)))))
    numbers = [metric_text(each) for each in job.status.metrics]
    if best(job) != NOTHING:
        numbers.append(f"best {best(job)}")
    if gpu_hours(job) != NOTHING:
        numbers.append(f"{gpu_hours(job)} GPU-h")
    parts += [Text("  ".join(numbers))] if numbers else []
    parts += [Text(f"! {why(job)}", style="yellow")] if job.status.warnings and why(job) != NOTHING else []
    parts += [Text(f"{each.tracker}  {tracked(each)}", overflow="fold") for each in job.status.tracking]
    loss = job.status.curves.points("loss") if job.status.curves else []
    if loss:
        # The cursor stands in a line of its own.
        left = LINES if height is None else height - _lines(Group(*parts), width) - 1
        parts.append(draw({"loss": loss}, width=width, lines=min(LINES, left), y_label="loss"))
    return Group(*parts)


def _lines(view: RenderableType, width: int) -> int:
    """How many lines it takes."""
    screen = Console(width=width, color_system=None)
    return len(screen.render_lines(view, pad=False))
