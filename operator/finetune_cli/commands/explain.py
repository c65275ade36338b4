"""`finetune explain`: why does it wait or fail, and what is to be done."""

from finetune_cli.display.card import card
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import show, write


def explain(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain why a job waits or failed. The reason, what happened, what to do, since when, and what proves it."""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name)
        explanation = job.explain()
    if output:
        write(output, explanation.to_wire())
    else:
        show(lambda _: card(explanation, job.snapshot))
