"""The list of jobs."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from finetune.snapshot import Snapshot
from finetune.summary import best, why
from finetune_cli.display.words import duration, gpu_hours, loss_line, phase_text, progress_bar


def jobs_table(jobs: Iterable[Snapshot], *, with_namespace: bool = False, now: datetime | None = None) -> Table:
    """Return the list, as wide as the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    if with_namespace:
        table.add_column("NAMESPACE", no_wrap=True)
    table.add_column("NAME", overflow="fold")
    table.add_column("PHASE", no_wrap=True)
    table.add_column("PROGRESS", no_wrap=True)
    table.add_column("LOSS", no_wrap=True)
    table.add_column("BEST", no_wrap=True)
    table.add_column("WHY / WHAT NEXT", ratio=1, overflow="fold")
    table.add_column("GPU-H", justify="right", no_wrap=True)
    table.add_column("AGE", justify="right", no_wrap=True)
    for job in jobs:
        cells = [Text(job.name), phase_text(job), Text(progress_bar(job)), Text(loss_line(job)), Text(best(job))]
        cells += [Text(why(job)), Text(gpu_hours(job)), Text(duration((now or datetime.now(UTC)) - job.created))]
        table.add_row(*([Text(job.namespace)] if with_namespace else []), *cells)
    return table
