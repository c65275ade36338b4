"""`finetune get`: how are my jobs."""

from typing import Annotated

import typer

from finetune.summary import most_urgent_first
from finetune_cli.display.jobs import jobs_table
from finetune_cli.options import Context, Kubeconfig, NameOrAll, Namespace, Output, connected
from finetune_cli.output import console, error_console, write


def get(
    name: NameOrAll = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Jobs of all namespaces.")] = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Only jobs with these labels, such as team=a.")
    ] = "",
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs. First those that need a person, then the newest."""
    with connected(namespace, kubeconfig, context) as client:
        found = [client.get(name).snapshot] if name else client.list(all_namespaces=all_namespaces, selector=selector)
    if output:
        write(
            output,
            found[0].raw if name else {"apiVersion": "v1", "kind": "List", "items": [each.raw for each in found]},
        )
    elif found:
        screen = console(whole_lines=True)
        screen.print(jobs_table(most_urgent_first(found), width=screen.width, with_namespace=all_namespaces))
    else:
        error_console().print(
            "no jobs here: `finetune submit FILE` submits one, `finetune get -A` looks in all namespaces"
        )
