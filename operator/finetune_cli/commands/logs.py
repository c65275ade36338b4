"""`finetune logs`: what the trainer writes, of every attempt."""

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from finetune_cli.exits import goes_on
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import Format, console, error_console, write


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    node: Annotated[int, typer.Option(min=0, help="Which of the pods that train together.")] = 0,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Of each attempt, begin with its last lines, this many.")
    ] = None,
    timestamps: Annotated[bool, typer.Option(help="Begin each line with the time when it was written.")] = False,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the log of a job. Attempt by attempt; what the job waits for meanwhile goes to stderr."""
    pod = ""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name)
        with goes_on(job) if follow else nullcontext():
            for line in job.logs(follow=follow, node=node, tail=tail):
                if output is Format.JSON:
                    typer.echo(json.dumps(vars(line)))
                elif output:
                    write(output, [vars(line)])
                elif not line.pod:
                    error_console().print(line.text, style="dim")
                else:
                    if line.pod != pod:
                        error_console().print(f"--- {line.pod}", style="dim")
                    pod = line.pod
                    console().out(f"{line.time} {line.text}" if timestamps and line.time else line.text)
