"""`finetune watch`: is it learning."""

from finetune_cli.following import show_to_the_end
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, Timeout, connected


def watch(
    name: Name,
    timeout: Timeout = None,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show how a job goes, until its end. Phase, progress, metrics and the curve of the loss; the exit code is its outcome."""
    with connected(namespace, kubeconfig, context) as client:
        show_to_the_end(client.get(name), timeout, output)
