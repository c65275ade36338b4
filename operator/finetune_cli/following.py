"""A job to its end: redrawn in place on a terminal, a line for each change elsewhere, a JSON object a line for programs."""

import json
import os

import typer
from rich.live import Live

from finetune.client import Job
from finetune.result import result_of
from finetune_cli.display.job import job_line, job_view
from finetune_cli.exits import goes_on
from finetune_cli.output import Format, console, write


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
        elif screen.is_terminal and "NO_COLOR" not in os.environ:
            with Live(console=screen, auto_refresh=False, vertical_overflow="visible") as live:
                for snapshot in job.watch(timeout):
                    live.update(job_view(snapshot, screen.width), refresh=True)
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
            typer.echo(json.dumps(snapshot.raw))
        else:
            typer.echo("---")
            write(output, snapshot.raw)
