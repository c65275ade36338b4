"""A job to its end: redrawn in place on a terminal, a line for each change elsewhere, a JSON object a line for programs."""

import json

import typer
from rich.live import Live

from finetune.client import Job
from finetune.result import result_of
from finetune_cli.display.job import job_line, job_view
from finetune_cli.exits import goes_on
from finetune_cli.output import Format, can_redraw, console, readable, write


def show_to_the_end(job: Job, timeout: float | None, output: Format | None) -> None:
    """Show the job until its run has ended.

    Raises:
        JobFailed: It failed.
        TimedOut: It has not ended within `timeout` seconds.
        NotFound: It was deleted.
    """
    screen = console()
    with goes_on(job):
        if output is not None:
            _write(job, timeout, output)
        elif can_redraw(screen):
            # What has scrolled out of sight cannot be drawn anew: all of it is shown at the end alone.
            with Live(console=screen, auto_refresh=False, vertical_overflow="ellipsis") as live:
                for snapshot in job.watch(timeout):
                    live.update(job_view(snapshot, screen.width, screen.height), refresh=True)
        else:
            said = ""
            for snapshot in job.watch(timeout):
                line = job_line(snapshot)
                if line != said:
                    screen.print(line, soft_wrap=True)
                said = line
    result_of(job.snapshot)


def _write(job: Job, timeout: float | None, output: Format) -> None:
    for snapshot in job.watch(timeout):
        if output is Format.JSON:
            typer.echo(json.dumps(readable(snapshot.raw)))
        else:
            typer.echo("---")
            write(output, snapshot.raw)
