"""`finetune download`: take what the job has made."""

from pathlib import Path
from typing import Annotated

import typer

from finetune.download import artifact_of
from finetune.download import download as fetch
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import console, write


def download(
    name: Name,
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint instead of the model: best, latest, or its step.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to make. One named after the job if left out.")] = None,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Download the model, or a checkpoint. From its bucket, and verified by the digest in the status."""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name).snapshot
    artifact, folder = artifact_of(job, checkpoint), to or Path(job.name)
    names = fetch(job, artifact, folder)
    if output:
        write(output, {"uri": artifact.uri, "digest": artifact.digest, "folder": str(folder), "files": names})
    else:
        console().print(
            f"{folder} has the {len(names)} files of {artifact.uri}, verified: {artifact.digest}", soft_wrap=True
        )
