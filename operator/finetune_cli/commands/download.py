"""`finetune download`: take what the job has made."""

from pathlib import Path
from typing import Annotated

import typer

from finetune.download import artifact_of
from finetune.download import download as fetch
from finetune.download import verify as verify_copy
from finetune.reader_pod import reader_pod as manifest_of_reader
from finetune_cli.options import Context, Kubeconfig, Name, Namespace, Output, connected
from finetune_cli.output import Format, say, write


def download(
    name: Name,
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint instead of the model: best, latest, or its step.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to make. One named after the job if left out.")] = None,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="COPY", help="Verify a folder or file that is here, in place of downloading one."),
    ] = None,
    reader_pod: Annotated[
        bool, typer.Option("--reader-pod", help="Write the manifest of a pod that mounts the volume, for kubectl cp.")
    ] = False,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Download the model, or a checkpoint. From its bucket, and verified by the digest in the status; of a volume it says what to type."""
    with connected(namespace, kubeconfig, context) as client:
        job = client.get(name).snapshot
    artifact, folder = artifact_of(job, checkpoint), verify or to or Path(job.name)
    if reader_pod:
        write(output or Format.YAML, manifest_of_reader(job, artifact.uri))
        return
    names = verify_copy(artifact, folder) if verify else fetch(job, artifact, folder)
    if output:
        write(output, {"uri": artifact.uri, "digest": artifact.digest, "folder": str(folder), "files": names})
    else:
        what = f"{len(names)} files of {artifact.uri}" if len(names) != 1 else f"file {names[0]} of {artifact.uri}"
        say(f"{folder} has the {what}, verified: {artifact.digest}")
