"""`finetune cancel`: end a job for good."""

import sys
from typing import Annotated

import typer

from finetune.errors import NotAllowed
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
        try:
            job = client.get(name)
        except NotAllowed:
            # Who may delete and not get needs no more; whoever asks for the job's JSON does.
            if output:
                raise
            _ask(yes, f"Delete {name}, which is not for you to see, and its pods?")
            client.delete(name)
        else:
            _ask(yes, f"Delete {name} in namespace {job.namespace}, which is {job.snapshot.phase}, and its pods?")
            job.delete()
    if output:
        write(output, job.snapshot.raw)
    else:
        say(f"{name} is deleted")


def _ask(yes: bool, question: str) -> None:
    if not yes and _on_a_terminal():
        typer.confirm(question, abort=True)


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()
