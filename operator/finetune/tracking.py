"""What has not arrived at a job's trackers by its end, sent from this machine: no pod is left in the cluster that could."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import fsspec
from pydantic import ValidationError

from finetune.buckets import bucket_failures
from finetune.consent import TRUST_NOBODY, Agree, credentials_for
from finetune.errors import FineTuneError, NotFound, Refused
from finetune.kept_profile import defaults_of
from finetune.manifest import describe
from finetune.reader_pod import tracking_commands
from finetune.snapshot import Snapshot
from finetune_api.outputs import HISTORY, TRACKING
from finetune_api.run import JobReference, RunConfig
from finetune_api.status import TrackedRun
from finetune_api.tracking import servers_of
from finetune_api.v1alpha1 import FineTuneJobSpec

FILES: Final = (HISTORY, TRACKING)
"""What of an output is sent, and by what a tracker knows the run."""
MOST_BYTES: Final = 256 * 2**20
"""Of a file: the history of more than a million logs. Whoever may write to the output decides what is there."""
_BUCKETS: Final = ("s3://", "gs://", "az://", "hf://")
_PROGRAM: Final = [sys.executable, "-P", "-m", "finetune_trainer.tracking.catch_up"]


def output_of(job: Snapshot) -> str:
    """Return the URI of the output of the job's present run.

    Raises:
        NotFound: No operator has taken the job yet.
    """
    if job.status.run is None or not job.status.run.output:
        raise NotFound(f"{job.name} has no output yet: it is {job.phase}")
    return job.status.run.output


def credentials_sent(job: Snapshot) -> dict[str, tuple[str, ...]]:
    """Return, by the URL of each server of a job's trackers, which of this machine's variables `send_history` would send it.

    Whoever made the job chose the servers, and may be somebody else than who sends.

    Raises:
        Refused, NotFound: As `send_history` does.
    """
    servers = _config(job).tracking
    return credentials_for(servers) if servers else {}


def send_history(job: Snapshot, folder: Path | None = None, *, agree: Agree = TRUST_NOBODY) -> list[TrackedRun]:
    """Send what the servers of a job's trackers have not got. Each point is there once, however often this is called.

    Credentials are those of the environment: MLFLOW_TRACKING_TOKEN, TRACKIO_WRITE_TOKEN and so on, and those of the bucket.

    Args:
        folder: Has copies of `FILES`. If left out they are read from the output, where that is in a bucket or on the Hub.
        agree: Called with `credentials_sent` before anything is sent; raises where that is not to be. Servers get credentials only
            where it is said, as by `trusting("mlflow.example")`.

    Returns:
        The run at each tracker, with a message where not all has arrived.

    Raises:
        Refused: A server would get credentials, and that was not agreed to. The job has not ended, or names no server, or its output is on a volume, with what to do instead; or a file is larger than any history.
        NotFound, NotAllowed, FineTuneError: The output does not give the files.
    """
    config = _config(job)
    with tempfile.TemporaryDirectory(prefix="finetune-track-") as scratch:
        if folder is None:
            folder = Path(scratch)
            for name in FILES:
                _fetch(job, name, folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise NotFound(f"{folder} has no {' and no '.join(missing)}: copy it from {config.output.uri}")
        for name in FILES:
            if (folder / name).stat().st_size > MOST_BYTES:
                raise Refused(
                    f"{name} at {config.output.uri} has more than {MOST_BYTES:,} bytes: no run writes so much"
                )
        agree(credentials_sent(job))
        return _run(job, config, folder)


def _config(job: Snapshot) -> RunConfig:
    if not job.ended:
        raise Refused(f"{job.name} is {job.phase}: it sends its points itself until it has ended")
    try:
        spec = FineTuneJobSpec.model_validate(job.spec)
    except ValidationError as error:
        raise Refused(describe(error)) from error
    defaults = defaults_of(job)
    servers = servers_of(spec.tracking or (defaults.tracking if defaults else None))
    if servers is None:
        raise Refused(f"{job.name} is tracked by no server: all else is in its output already, {output_of(job)}")
    reference = JobReference(namespace=job.namespace, name=job.name, uid=job.uid)
    return RunConfig.of(spec, output_of(job), reference).model_copy(update={"tracking": servers})


def _fetch(job: Snapshot, name: str, folder: Path) -> None:
    uri = output_of(job)
    if uri.startswith("pvc://"):
        commands = tracking_commands(job, uri, FILES)
        text = f"{uri} is on a volume, which a pod must read. With the right to create pods and to exec into them:"
        raise Refused("\n  ".join((text, *commands)))
    if not uri.startswith(_BUCKETS):
        raise Refused(f"{uri} was on the disk of the pod that trained, and is gone with it")
    with bucket_failures(uri):
        try:
            with fsspec.open(f"{uri.rstrip('/')}/{name}", "rb") as file:
                (folder / name).write_bytes(file.read(MOST_BYTES + 1))
        except FileNotFoundError as error:
            raise NotFound(f"{uri} has no {name}: the run has written none") from error


def _run(job: Snapshot, config: RunConfig, folder: Path) -> list[TrackedRun]:
    asked = {
        "config": config.to_file(),
        "folder": str(folder.absolute()),
        "outcome": "finished" if job.phase == "Succeeded" else "failed",
        "provenance": job.status.provenance.to_wire() if job.status.provenance else None,
    }
    done = subprocess.run(_PROGRAM, input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        last = next(reversed(done.stderr.strip().splitlines()), f"it ended with {done.returncode}")
        raise FineTuneError(f"the history cannot be sent: {last}")
    return [TrackedRun.model_validate(each) for each in json.loads(done.stdout)]
