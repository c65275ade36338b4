"""`finetune run`: a manifest on this machine."""

import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from finetune.consent import Sent, host_of
from finetune.errors import JobFailed, Refused
from finetune.local import LocalFailure, LocalRun, plan_run, train
from finetune.manifest import Manifest, read_file
from finetune_api.printable import printable
from finetune_cli.consent import ask
from finetune_cli.options import Output
from finetune_cli.output import error_console, write

_OUTPUTS = Path("outputs")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The manifest.")]
Into = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the results go. outputs/NAME if left out.")]
Volume = Annotated[
    list[str] | None, typer.Option(metavar="CLAIM=FOLDER", help="Where the files of pvc://CLAIM/… are on this machine.")
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=0, max=64, help="In place of resources.gpus; 0 trains on the CPU. What is there, if neither is given."
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="A server of the manifest's trackers that may get credentials of this machine."),
]


def run(
    file: File, into: Into = None, volume: Volume = None, gpus: Gpus = None, trust: Trust = None, output: Output = None
) -> None:
    """Train on this machine as a pod would. Ctrl-C saves a checkpoint, and the same command goes on from it."""
    planned = plan_of(file, into, volume, gpus)
    for note in planned.notes:
        error_console().print(f"note: {printable(note)}")
    # stdout is a program's, where it asks for JSON or YAML.
    try:
        result = train(planned, stdout=sys.stderr if output else None, agree=partial(_agree, file, trust or []))
    except LocalFailure as failure:
        raise JobFailed(failure.untold) from None
    if output:
        model = {"output": str(result.output), "model": str(result.model)}
        write(output, {"metrics": result.metrics, **model, "resumedFromStep": result.report.resumed_from_step})


def _agree(file: Path, trusted: Collection[str], sent: Sent) -> None:
    """A manifest may be somebody else's, who chose where credentials of this machine would go."""
    for uri, names in sent.items():
        if host_of(uri) not in trusted:
            ask(str(file), {uri: names}, f"--trust {host_of(uri)}")


def plan_of(file: Path, into: Path | None, volume: list[str] | None, gpus: int | None) -> LocalRun:
    """The run of the one manifest in a file."""
    manifests = read_file(file)
    if len(manifests) > 1:
        raise Refused(f"{file} holds {len(manifests)} FineTuneJobs, and one is run at a time")
    job = Manifest.read(manifests[0])
    return plan_run(job, into or _OUTPUTS / (job.name or file.stem), volumes=_volumes(volume or []), gpus=gpus)


def _volumes(pairs: list[str]) -> dict[str, Path]:
    volumes = {}
    for pair in pairs:
        claim, equals, folder = pair.partition("=")
        if not (claim and equals and folder):
            raise typer.BadParameter(f"{pair}: must be CLAIM=FOLDER", param_hint="--volume")
        if not Path(folder).is_dir():
            raise Refused(f"--volume {pair}: there is no folder {folder}")
        volumes[claim] = Path(folder)
    return volumes
