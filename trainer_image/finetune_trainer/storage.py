"""Where sources and the output lie on this machine."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_trainer.failures import bad_configuration, listed, output_error, output_failures

Volumes = Mapping[str, Path]
"""Where each claim of pvc://claim/... lies: in a pod its mount, on a laptop any folder."""

_IDENTITY = "run.json"
_OURS = ("checkpoints", "model", "adapter", "history.jsonl")


def is_path(source: str) -> bool:
    """Whether `source` is a place in a file system and not an id on the Hub."""
    return source.startswith(("file://", "pvc://"))


def locate(uri: str, volumes: Volumes) -> Path:
    """The path of a file:// or pvc:// URI.

    Raises:
        TrainerError: BAD_CONFIGURATION when the claim is not mounted, or the path would leave it.
    """
    scheme, _, rest = uri.partition("://")
    rest = unquote(rest)
    if scheme == "file":
        return Path(rest)
    claim, _, path = rest.partition("/")
    if claim not in volumes:
        known = f"those given are {listed(volumes)}" if volumes else "none is given"
        raise bad_configuration(
            f"{uri}: volume '{claim}' is not known here; {known}",
            f"say where it lies: --volume {claim}=/some/folder",
            "VolumeNotGiven",
        )
    if ".." in Path(path).parts:
        raise bad_configuration(f"{uri}: the path must not hold '..'")
    return volumes[claim] / path


@dataclass(frozen=True)
class Output:
    """The one place below which everything stands that the run makes."""

    uri: str
    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    def uri_of(self, path: Path) -> str:
        """The URI of something below the output."""
        return f"{self.uri}/{path.relative_to(self.path).as_posix()}"


def identity(config: RunConfig) -> JsonObject:
    """What makes two runs the same: a checkpoint is only resumed where it is equal."""
    return {"configDigest": config.digest(), "jobUid": config.job.uid if config.job else None}


def open_output(config: RunConfig, volumes: Volumes) -> Output:
    """The output folder, made if need be, and proven to be writable and free for this run.

    Raises:
        TrainerError: OUTPUT when it cannot be written or holds another run.
    """
    output = Output(config.output.uri.rstrip("/"), locate(config.output.uri, volumes))
    with output_failures(output.path):
        if output.path.exists() and not output.path.is_dir():
            raise output_error("OutputNotWritable", f"{output.uri}: {output.path} is not a folder")
        output.path.mkdir(parents=True, exist_ok=True)
        probe = output.path / f".write-{uuid.uuid4().hex}"
        probe.write_bytes(b"x")
        probe.unlink()
        _check_is_free(output, identity(config))
    return output


def claim_output(output: Output, config: RunConfig) -> None:
    """Mark the output as this run's. Only done once model and data are good: a mistake shall not cost a folder."""
    mine = identity(config)
    with output_failures(output.path):
        _check_is_free(output, mine)
        write_atomically(output.path / _IDENTITY, json.dumps(mine, indent=2) + "\n")


def _check_is_free(output: Output, mine: JsonObject) -> None:
    marker = output.path / _IDENTITY
    try:
        theirs = json.loads(marker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        theirs = mine if not any((output.path / name).exists() for name in _OURS) else None
    except ValueError:
        theirs = None
    if theirs != mine:
        raise output_error(
            "OutputInUse",
            f"{output.uri} holds {_whose(theirs, mine)}",
            f"give output.uri another folder, or delete {output.path} if it is not needed any more",
        )


def _whose(theirs: object, mine: JsonObject) -> str:
    if not isinstance(theirs, dict):
        return "files that are not of a run of ours"
    same_settings = theirs.get("configDigest") == mine["configDigest"]
    return "the run of another job" if same_settings else "a run with other settings"


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Have the contents of a file on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
