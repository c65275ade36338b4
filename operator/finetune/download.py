"""What a job has made, on this machine: from a bucket, and the same to the byte as the trainer wrote it."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from finetune.buckets import bucket_failures
from finetune.errors import FineTuneError, NotFound, Refused
from finetune.reader_pod import fetching_commands
from finetune.snapshot import Snapshot

_BUCKETS: Final = ("s3://", "gs://", "az://")
_MANIFEST: Final = "manifest.json"
"""Of a checkpoint: the SHA-256 of each of its files."""


class NotVerified(FineTuneError):
    """What was downloaded is not what the trainer wrote. Nothing of it is kept."""


@dataclass(frozen=True)
class Artifact:
    """A model or checkpoint, as the status names it."""

    uri: str
    digest: str | None
    checkpoint: str | None = None
    """As it was asked for; None of a model."""


def artifact_of(job: Snapshot, checkpoint: str | None = None) -> Artifact:
    """Return the job's model, or the checkpoint `best`, `latest` or of a step.

    Raises:
        NotFound: The job has none.
    """
    status = job.status
    if checkpoint is None:
        if status.model is None:
            raise NotFound(f"{job.name} has no model yet: it is {job.phase}. --checkpoint latest takes a checkpoint")
        return Artifact(status.model.uri, status.model.digest)
    steps = {str(each.step): each for each in status.checkpoints}
    named = {"best": status.best_checkpoint, "latest": status.latest_checkpoint}
    chosen = named.get(checkpoint)
    found = steps.get(str(chosen.step) if chosen else checkpoint)
    if found is None:
        raise NotFound(f"{job.name} has no checkpoint {checkpoint}; there are: {', '.join(steps) or 'none'}")
    return Artifact(found.uri, found.digest, checkpoint)


def download(job: Snapshot, artifact: Artifact, folder: Path) -> list[str]:
    """Download into `folder`, which must not be there, and return the names of the files.

    The credentials are those of the environment; the library for the kind of bucket (s3fs, gcsfs, adlfs) is the user's to install.

    Raises:
        NotVerified: A digest is not the one in the status.
        Refused: `folder` is there, or the output is in no bucket; with what to do instead.
        NotFound, NotAllowed, FineTuneError: The bucket does not give it.
    """
    if folder.exists():
        raise Refused(f"{folder} is there already: name another folder with --to")
    if not artifact.uri.startswith(_BUCKETS):
        raise Refused(_elsewhere(job, artifact, folder))
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        names = _fetch(artifact.uri, partial)
        verify(artifact, partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return names


def _fetch(uri: str, folder: Path) -> list[str]:
    with bucket_failures(uri):
        files, root = fsspec.core.url_to_fs(uri)
        names = [path.removeprefix(root).lstrip("/") for path in files.find(root)]
        for name in names:
            if ".." in Path(name).parts:
                raise NotVerified(f"{uri} holds a file named {name}, which would be written elsewhere")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(f"{root}/{name}", str(target))
    if not names:
        raise NotFound(f"{uri} holds no files")
    return sorted(names)


def verify(artifact: Artifact, folder: Path) -> list[str]:
    """Compare a copy, and return the names of its files.

    Raises:
        NotVerified: It is not, to the byte, what the trainer wrote.
        NotFound: There is no such folder.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    if artifact.digest is None:
        raise NotVerified(f"the status has no digest of {artifact.uri} to compare with")
    if artifact.checkpoint:
        manifest = folder / _MANIFEST
        if not manifest.is_file() or f"sha256:{_sha256(manifest)}" != artifact.digest:
            raise NotVerified(f"the manifest of {artifact.uri} is not the one that the trainer wrote")
        listed: dict[str, Any] = json.loads(manifest.read_text())["files"]
        wrong = [name for name, file in listed.items() if not _is(folder / name, file["sha256"])]
        wrong += sorted({path.relative_to(folder).as_posix() for path in _files(folder)} - {*listed, _MANIFEST})
        if wrong:
            raise NotVerified(f"files of {artifact.uri} are not those that the trainer wrote: {', '.join(wrong)}")
    elif _digest(folder) != artifact.digest:
        raise NotVerified(f"{artifact.uri} is not the model that the trainer wrote")
    return sorted(path.relative_to(folder).as_posix() for path in _files(folder))


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _digest(folder: Path) -> str:
    """`sha256:…` over the lines that `sha256sum` prints for the files of a model, in their order."""
    lines = "".join(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _elsewhere(job: Snapshot, artifact: Artifact, folder: Path) -> str:
    """What to do where the output is in no bucket."""
    scheme, _, place = artifact.uri.partition("://")
    if scheme == "hf":
        return f"{artifact.uri} is a repository on the Hub: `hf download {place}` fetches and verifies it"
    if scheme != "pvc":
        return f"{artifact.uri} was on the disk of the pod that trained, and is gone with it; next time leave spec.output.uri out"
    commands = fetching_commands(job, artifact.uri, artifact.checkpoint, str(folder))
    return "\n  ".join(
        (
            f"{artifact.uri} is on a volume, which a pod must read. With the right to create pods and to exec into them:",
            *commands,
        )
    )
