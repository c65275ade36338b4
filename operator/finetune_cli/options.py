"""Arguments and options that several commands have."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

from finetune.client import Client
from finetune.errors import FineTuneError, NotFound
from finetune.typos import explained
from finetune_cli.output import Format

Namespace: TypeAlias = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace of the job. That of the kubeconfig's context if left out."),
]
Kubeconfig: TypeAlias = Annotated[
    str | None, typer.Option(help="Path of the kubeconfig. KUBECONFIG or ~/.kube/config if left out.")
]
Context: TypeAlias = Annotated[str | None, typer.Option(help="Context of the kubeconfig. The current one if left out.")]
Output: TypeAlias = Annotated[Format | None, typer.Option("--output", "-o", help="Write JSON or YAML for programs.")]
Timeout: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Longest time to wait, in seconds. The job goes on after it.")
]


@contextmanager
def connected(namespace: str | None, kubeconfig: str | None, context: str | None) -> Iterator[Client]:
    """A client, closed at the end."""
    with Client(namespace, kubeconfig=kubeconfig, context=context) as client:
        try:
            yield client
        except NotFound as error:
            raise client.portal.run(explained(client.twin.api, error)) from None


def complete_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of jobs that begin so, for the shell's completion; none where the cluster does not answer."""
    chosen = (ctx.params.get(each) for each in ("namespace", "kubeconfig", "context"))
    try:
        with connected(*chosen) as client:
            return [each.name for each in client.list() if each.name.startswith(incomplete)]
    except FineTuneError:
        return []


Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Name of the job.", autocompletion=complete_name)]
NamesOrAll: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME…", help="Names of jobs; all if left out.", autocompletion=complete_name),
]
