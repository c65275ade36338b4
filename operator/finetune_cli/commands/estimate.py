"""`finetune estimate`: what a run will take."""

from typing import Annotated

import typer

from finetune.local import estimate as estimate_run
from finetune.local import estimate_table
from finetune_cli.commands.run import File, Gpus, Into, Volume, plan_of
from finetune_cli.options import Output
from finetune_cli.output import write


def estimate(
    file: File,
    into: Into = None,
    volume: Volume = None,
    gpus: Gpus = None,
    time: Annotated[
        bool, typer.Option(help="Load the model and train for some steps, of which nothing is kept, to tell the time.")
    ] = True,
    output: Output = None,
) -> None:
    """Estimate steps, memory and time of a run. Everything that it needs is checked; the time is that on this machine."""
    planned = plan_of(file, into, volume, gpus)
    if output:
        write(output, estimate_run(planned, timed=time))
    else:
        typer.echo(estimate_table(planned, timed=time), nl=False)
