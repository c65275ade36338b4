"""`finetune cancel`: end a job for good."""

import sys
from typing import Annotated

import typer

from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import say, write


def cancel(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """End a job for good. The FineTuneJob and its pods are deleted. What it has saved stays, but on a claim with retentionPolicy Delete."""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name)
        if not yes and _on_a_terminal():
            question = f"Delete {job.name} in namespace {job.namespace}, which is {job.snapshot.phase}, and its pods?"
            typer.confirm(question, abort=True)
        job.delete()
    if output:
        write(output, job.snapshot.raw)
    else:
        say(f"{job.name} is deleted")


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()
