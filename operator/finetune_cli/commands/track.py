"""`finetune track`: send to a job's trackers what had not arrived when it ended."""

from pathlib import Path
from typing import Annotated

import typer

from finetune.errors import FineTuneError
from finetune.reader_pod import reader_pod as manifest_of_reader
from finetune.tracking import output_of, send_history
from finetune_cli.consent import ask
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import Format, say, write


def track(
    name: Name,
    folder: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Copies of history.jsonl and tracking.json.")
    ] = None,
    reader_pod: Annotated[
        bool, typer.Option("--reader-pod", help="Write the manifest of a pod that mounts the volume, for kubectl cp.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before credentials go to the job's servers.")
    ] = False,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Send to MLflow or trackio what had not arrived when the job ended, each point once. Credentials are this machine's environment."""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name).snapshot
    if reader_pod:
        write(output or Format.YAML, manifest_of_reader(job, output_of(job)))
        return
    runs = send_history(job, folder, agree=lambda sent: None if yes else ask(job.name, sent, "--yes"))
    if output:
        write(output, [run.to_wire() for run in runs])
    else:
        for run in runs:
            if run.message is None:
                say(f"{run.tracker} has all points of {name}: {run.url}")
    failed = [f"{run.tracker}: not all has arrived: {run.message}" for run in runs if run.message is not None]
    if failed:
        raise FineTuneError("\n".join(failed))
