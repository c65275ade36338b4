"""`finetune suspend` and `finetune resume`."""

from finetune.snapshot import Snapshot
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import Format, say, write


def suspend(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a job for now. It saves a checkpoint, and its pods go."""
    with connected(namespace, kubeconfig, context) as client:
        _show(
            client.get(name).suspend(),
            output,
            f"is suspended: `finetune resume {name}` lets it go on from its newest checkpoint",
        )


def resume(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a suspended job go on from its newest checkpoint."""
    with connected(namespace, kubeconfig, context) as client:
        _show(client.get(name).resume(), output, "goes on")


def _show(snapshot: Snapshot, output: Format | None, what: str) -> None:
    if output:
        write(output, snapshot.raw)
    else:
        say(f"{snapshot.name} {what}")
