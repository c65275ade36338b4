"""`finetune compare`: which of them is better, and why."""

from typing import Annotated

import typer

from finetune.comparison import compare as compare_runs
from finetune_cli.display.comparison import comparison_view
from finetune_cli.options import Context, Kubeconfig, Namespace, Output, complete_name, connected
from finetune_cli.output import console, show, write

_MOST = 8
_WIDEST_CURVES = 120


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="A B …", help="Names of two to eight jobs.", autocompletion=complete_name)
    ],
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Compare runs. The settings that differ, the curves of the loss, final metrics with the best marked, and GPU-hours."""
    if not 2 <= len(set(names)) <= _MOST or len(set(names)) < len(names):
        raise typer.BadParameter("name two to eight jobs, each once")
    with connected(namespace, kubeconfig, context) as client:
        comparison = compare_runs([client.get(name).snapshot for name in names])
    if output:
        write(output, comparison.to_wire())
    else:
        coloured = console().color_system is not None
        show(lambda width: comparison_view(comparison, min(width, _WIDEST_CURVES), coloured=coloured))
