"""`finetune rerun`: the same job once more."""

from typing import Annotated

import typer

from finetune.async_client import new_token
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import say, write


def rerun(
    name: Name,
    token: Annotated[str | None, typer.Option(help="The new spec.runToken. The present time if left out.")] = None,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a job anew. From the pretrained model, into a folder of its own; a run that is under way is ended first."""
    with connected(namespace, kubeconfig, context) as client:
        snapshot = client.patch(name, {"runToken": token or new_token()})
    if output:
        write(output, snapshot.raw)
    else:
        say(f"{snapshot.name} runs anew, as runToken {snapshot.spec.get('runToken')}")
