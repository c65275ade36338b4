"""`finetune estimate`: what a run will take."""

import typer

from finetune.local import estimate as estimate_run
from finetune.local import estimate_table
from finetune_cli.commands.run import File, Gpus, Into, Volume, plan_of
from finetune_cli.options import Output
from finetune_cli.output import write


def estimate(file: File, into: Into = None, volume: Volume = None, gpus: Gpus = None, output: Output = None) -> None:
    """Check everything that a run needs, and estimate its steps and memory, without a step of training."""
    planned = plan_of(file, into, volume, gpus)
    if output:
        write(output, estimate_run(planned))
    else:
        typer.echo(estimate_table(planned), nl=False)
