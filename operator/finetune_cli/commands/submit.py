"""`finetune submit`: from a manifest to a job."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from finetune.client import Client, Job
from finetune.errors import AlreadyThere, Refused
from finetune.manifest import read_file, read_manifests
from finetune.pod_paths import pod_path_notes
from finetune.result import result_of
from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_cli.exits import goes_on
from finetune_cli.following import show_to_the_end
from finetune_cli.options import Context, Kubeconfig, Namespace, Output, Timeout, connected
from finetune_cli.output import error_console, say, write


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest; - reads it from stdin.", allow_dash=True)],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code is the job's outcome.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for the end, and show how it goes.")] = False,
    timeout: Timeout = None,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Submit the FineTuneJobs in a manifest."""
    manifests = _manifests(file)
    for note in (note for manifest in manifests for note in pod_path_notes(manifest)):
        error_console().print(f"note: {printable(note)}")
    with connected(namespace, kubeconfig, context) as client:
        jobs: list[Job] = []
        try:
            for manifest in manifests:
                jobs.append(_submit(client, manifest, namespace, file))
                if not output:
                    say(f"{jobs[-1].name} is submitted to namespace {jobs[-1].namespace}")
        finally:
            # Where one is refused, those before it are in the cluster all the same.
            if output and jobs:
                write(output, jobs[0].snapshot.raw if len(manifests) == 1 else [each.snapshot.raw for each in jobs])
        for job in jobs:
            if follow:
                show_to_the_end(job, timeout, output)
            elif wait:
                with goes_on(job):
                    result_of(job.wait(timeout))


def _submit(client: Client, manifest: JsonObject, namespace: str | None, file: Path) -> Job:
    try:
        return client.submit(manifest, namespace)
    except AlreadyThere as error:
        name = (manifest.get("metadata") or {}).get("name")
        again = f"`finetune rerun {name}` runs it anew, `finetune cancel {name}` deletes it; or choose another name"
        raise AlreadyThere(f"{error}: {again}") from None
    except Refused as error:
        if str(file) == "-":
            raise
        # Offline a manifest is checked by the rules of a profile only where there is one to read.
        profile = re.search(r"denied request: profile ([a-z0-9.-]+):", str(error))
        by = f" --profile FILE`, with FineTuneProfile {profile[1]} in FILE," if profile else "`"
        raise Refused(f"{error}\n`finetune validate {file}{by} shows every mistake at once") from None


def _manifests(file: Path) -> list[JsonObject]:
    if str(file) != "-":
        return read_file(file)
    if sys.stdin.isatty():
        raise Refused("- reads a manifest from stdin, which is a terminal here")
    return read_manifests(sys.stdin.read(), "stdin")
