"""What a job has made, on this machine: from a bucket, and the same to the byte as the trainer wrote it."""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any, Final, TypeAlias

import fsspec

from finetune.buckets import bucket_failures
from finetune.errors import FineTuneError, NotFound, Refused
from finetune.reader_pod import fetching_commands
from finetune.snapshot import Snapshot
from finetune_api.outputs import MANIFEST

_BUCKETS: Final = ("s3://", "gs://", "az://")
_LINE: Final = re.compile(rb"[0-9a-f]{64}  ")
_BEGIN: Final = 66
Files: TypeAlias = dict[str, Path]


class NotVerified(FineTuneError):
    """What was downloaded is not what the trainer wrote. Nothing of it is kept."""


@dataclass(frozen=True)
class Artifact:
    """A model or checkpoint, as the status names it."""

    uri: str
    digest: str | None
    checkpoint: str | None = None
    """As it was asked for; None of a model."""


def artifact_of(job: Snapshot, checkpoint: str | int | None = None) -> Artifact:
    """Return the job's model, or the checkpoint `best`, `latest` or of a step.

    Raises:
        NotFound: The job has none.
    """
    status = job.status
    if checkpoint is None:
        if status.model is None:
            raise NotFound(f"{job.name} has no model yet: it is {job.phase}. --checkpoint latest takes a checkpoint")
        return Artifact(status.model.uri, status.model.digest)
    checkpoint = str(checkpoint)
    steps = {str(each.step): each for each in status.checkpoints}
    named = {"best": status.best_checkpoint, "latest": status.latest_checkpoint}
    chosen = named.get(checkpoint)
    found = steps.get(str(chosen.step) if chosen else checkpoint)
    if found is None:
        raise NotFound(f"{job.name} has no checkpoint {checkpoint}; there are: {', '.join(steps) or 'none'}")
    return Artifact(found.uri, found.digest, checkpoint)


def download(job: Snapshot, artifact: Artifact, folder: Path, stop: Event | None = None) -> list[str]:
    """Download into `folder`, which must not be there, and return the names of the files.

    The credentials are those of the environment; the library for the kind of bucket (s3fs, gcsfs, adlfs) is the user's to install.

    Args:
        stop: Set where it is wanted no more: then nothing is kept.

    Raises:
        NotVerified: A digest is not the one in the status.
        Refused: `folder` is there, or the output is in no bucket; with what to do instead.
        NotFound, NotAllowed, FineTuneError: The bucket does not give it.
    """
    # A link to nothing is there, too.
    if folder.exists() or folder.is_symlink():
        raise Refused(f"{folder} is there already: name another folder (--to)")
    if not artifact.uri.startswith(_BUCKETS):
        raise Refused(_elsewhere(job, artifact, folder))
    stopping = _Stopping(artifact.uri, stop or Event())
    with _partial(folder) as partial:
        _fetch(artifact.uri, partial, stopping)
        names = verify(artifact, partial)
        stopping.call()
        partial.rename(folder)
    return names


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A place beside `folder`, removed at the end; of one's own, as another download into it may begin, or be cancelled and still end."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent, ignore_cleanup_errors=True
        ) as place:
            yield Path(place) / folder.name
    except OSError as error:
        raise FineTuneError(f"{folder} cannot be written: {error}") from error


async def download_in_thread(job: Snapshot, artifact: Artifact, folder: Path) -> list[str]:
    """Do the same beside whatever else goes on. Where it is cancelled, it ends with the next part that arrives, and nothing is kept."""
    stop = Event()
    try:
        return await asyncio.to_thread(download, job, artifact, folder, stop)
    finally:
        stop.set()


def _fetch(uri: str, folder: Path, stopping: "_Stopping") -> None:
    with bucket_failures(uri):
        files, root = fsspec.core.url_to_fs(uri)
        # Of what was listed before in this process, as in a notebook.
        files.invalidate_cache()
        # What ends in a slash stands for a folder, as consoles of buckets make it.
        paths = [path for path in files.find(root) if not path.endswith("/")]
        found = {path.removeprefix(root).lstrip("/"): path for path in paths if path != root}
        if not found and files.isfile(root):
            found = {_name(uri): root}
        for name, path in found.items():
            if ".." in Path(name).parts:
                raise NotVerified(f"{uri} holds a file named {name}, which would be written elsewhere")
            # Not every library tells of the parts.
            stopping.call()
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(path, str(target), callback=stopping)
    if not found:
        raise NotFound(f"{uri} holds no files")


class _Stopping(fsspec.Callback):  # type: ignore[misc]
    """Hears of each part that has arrived, and lets no more come once it is to stop."""

    def __init__(self, uri: str, stop: Event) -> None:
        super().__init__()
        self._uri = uri
        self._stop = stop

    def call(self, *_: object, **__: object) -> None:
        if self._stop.is_set():
            raise FineTuneError(f"the download of {self._uri} was cancelled")


def verify(artifact: Artifact, copy: Path) -> list[str]:
    """Compare a copy, a folder or the one file that was made, and return the names of its files.

    Raises:
        NotVerified: It is not, to the byte, what the trainer wrote.
        NotFound: There is no such folder or file.
    """
    if not copy.exists():
        raise NotFound(f"there is no folder {copy}")
    if artifact.digest is None:
        raise NotVerified(f"the status has no digest of {artifact.uri} to compare with")
    files = _files_of(artifact, copy)
    # Of an output that is one file, somebody's own trainer may have told the digest of that file itself.
    alone = next(iter(files.values())) if len(files) == 1 else None
    if alone and f"sha256:{_sha256(alone)}" == artifact.digest and not _names_others(alone):
        pass
    elif artifact.checkpoint:
        _verify_checkpoint(artifact, files)
    elif _digest(files) != artifact.digest:
        raise NotVerified(f"the copy of {artifact.uri} is not the model that the trainer wrote")
    return sorted(files)


def _names_others(file: Path) -> bool:
    """Whether it is what a digest of more files is made of: a manifest, or lines of `sha256sum`. Where it alone is left, they are missing."""
    with file.open("rb") as opened:
        begin = opened.read(_BEGIN)
    if not begin.startswith(b"{"):
        return bool(_LINE.match(begin))
    try:
        return "files" in json.loads(file.read_bytes())
    except ValueError:
        return False


def _verify_checkpoint(artifact: Artifact, files: Files) -> None:
    manifest = files.get(MANIFEST)
    if manifest is None or f"sha256:{_sha256(manifest)}" != artifact.digest:
        raise NotVerified(f"the manifest in the copy of {artifact.uri} is not the one that the trainer wrote")
    listed: dict[str, Any] = json.loads(manifest.read_text())["files"]
    wrong = [name for name, entry in listed.items() if name not in files or _sha256(files[name]) != entry["sha256"]]
    wrong += sorted({*files} - {*listed, MANIFEST})
    if wrong:
        raise NotVerified(
            f"files in the copy of {artifact.uri} are not those that the trainer wrote: {', '.join(wrong)}"
        )


def _files_of(artifact: Artifact, copy: Path) -> Files:
    """Files by their names, in the order of their paths. `kubectl cp` gives a file that is copied alone another name."""
    if copy.is_file():
        return {_name(artifact.uri): copy}
    paths = sorted(path for path in copy.rglob("*") if path.is_file())
    return {path.relative_to(copy).as_posix(): path for path in paths}


def _name(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def _digest(files: Files) -> str:
    """`sha256:…` over the lines that `sha256sum` prints for the files of a model, in their order."""
    lines = "".join(f"{_sha256(path)}  {name}\n" for name, path in files.items())
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


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
