"""`finetune get`: how are my jobs."""

from enum import StrEnum
from typing import Annotated

import typer

from finetune.client import Client
from finetune.errors import NotAllowed
from finetune.snapshot import Snapshot
from finetune.summary import most_urgent_first
from finetune.typos import check_namespace
from finetune_cli.display.jobs import jobs_table
from finetune_cli.options import Context, Kubeconfig, NamesOrAll, Namespace, connected
from finetune_cli.output import Format, error_console, show, write


class ListFormat(StrEnum):
    """How the list is written."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"


_LESS = {
    True: "`finetune get -n NAMESPACE` lists those of one namespace",
    False: "`finetune get NAME` shows a job that you may get, `finetune get -n NAMESPACE` lists those of another namespace",
}
"""What needs fewer rights than the jobs of all namespaces, or of one."""


def get(
    names: NamesOrAll = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Jobs of all namespaces.")] = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Only jobs with these labels, such as team=a.")
    ] = "",
    output: Annotated[
        ListFormat | None,
        typer.Option(
            "--output", "-o", help="JSON or YAML for programs; wide for all columns, and where each is tracked."
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs. First those that need a person, then the newest."""
    with connected(namespace, kubeconfig, context) as client:
        found = [client.get(each).snapshot for each in names] if names else _list(client, all_namespaces, selector)
        if not found and not all_namespaces:
            client.portal.run(check_namespace(client.twin.api, client.portal.run(client.twin.namespace())))
    wide = output is ListFormat.WIDE
    if output and not wide:
        one = names is not None and len(names) == 1
        items = [each.raw for each in found]
        write(Format(output.value), items[0] if one else {"apiVersion": "v1", "kind": "List", "items": items})
    elif found:
        jobs = found if names else most_urgent_first(found)
        show(lambda width: jobs_table(jobs, width=width, with_namespace=all_namespaces, whole=wide), whole=wide)
    else:
        error_console().print(
            "no jobs here: `finetune submit FILE` submits one, `finetune get -A` looks in all namespaces"
        )


def _list(client: Client, all_namespaces: bool, selector: str) -> list[Snapshot]:
    try:
        return client.list(all_namespaces=all_namespaces, selector=selector)
    except NotAllowed as error:
        raise NotAllowed(f"{error}; {_LESS[all_namespaces]}") from None
