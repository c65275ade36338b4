"""`finetune suspend` and `finetune resume`."""

from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import say, write


def suspend(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a job for now. It saves a checkpoint, and its pods go."""
    with connected(namespace, kubeconfig, context) as client:
        snapshot = client.patch(name, {"suspend": True})
    if output:
        write(output, snapshot.raw)
    elif snapshot.ended:
        say(
            f"{name} has ended: it is {snapshot.phase}. A run that `finetune rerun {name}` asks for waits for `finetune resume {name}`"
        )
    else:
        say(f"{name} is suspended: `finetune resume {name}` lets it go on from its newest checkpoint")


def resume(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a suspended job go on from its newest checkpoint."""
    with connected(namespace, kubeconfig, context) as client:
        snapshot = client.patch(name, {"suspend": False})
    if output:
        write(output, snapshot.raw)
    elif snapshot.ended:
        say(f"{name} has ended: it is {snapshot.phase}. `finetune rerun {name}` runs it anew")
    else:
        say(f"{name} goes on")
