"""Where things lie on this machine, and whose an output is."""

import hashlib
import json
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import output_error
from finetune_trainer.base.files import create_atomically
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.layout import ADAPTER, CHECKPOINTS, HISTORY, MODEL, RUN
from finetune_trainer.storage.uris import Volumes, cache_folder, is_path, locate

if TYPE_CHECKING:
    from finetune_trainer.storage.mirror import Mirror

_ROWS = "rows"
"""What it says of the rows beside the identity."""
_OURS = (CHECKPOINTS, MODEL, ADAPTER, HISTORY)


@dataclass(frozen=True)
class Output:
    """The one place below which everything stands that the run makes."""

    uri: str
    path: Path
    """The place itself; or, where it is away from this machine, where everything is written first."""
    mirror: "Mirror | None" = None
    """Brings it to the place, where that is away from this machine."""

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def model(self) -> Path:
        return self.path / MODEL

    @property
    def adapter(self) -> Path:
        return self.path / ADAPTER

    @property
    def history(self) -> Path:
        return self.path / HISTORY

    @property
    def free(self) -> int | None:
        """Bytes that can still be written there; None where the place is away from this machine."""
        return None if self.mirror else shutil.disk_usage(self.path).free

    def uri_of(self, path: Path) -> str:
        """The URI of something below the output."""
        if self.mirror and path == self.model:
            return self.mirror.model_uri
        return f"{self.uri}/{path.relative_to(self.path).as_posix()}".removesuffix("/.")

    def shown(self, path: Path) -> str:
        """How to call something below the output: people know paths of this machine, and URIs of other places."""
        return self.uri_of(path) if self.mirror else str(path)

    @cached_property
    def hurried(self) -> threading.Event:
        """To be set while something waits for a checkpoint to be saved."""
        return self.mirror.hurried if self.mirror else threading.Event()

    def fetch_history(self) -> None:
        """Have the history that the run has so far on this machine. Only for the run itself: it drops what stands here."""
        if self.mirror:
            self.mirror.fetch_history()

    def history_changed(self) -> None:
        """Something was added to the history that shall not be lost."""
        if self.mirror:
            self.mirror.history_changed()

    def publish_models(self) -> None:
        """Bring what was exported to the place, and the history for the last time. Then nothing is needed here any more."""
        if self.mirror:
            for folder in (self.adapter, self.model):
                if folder.exists():
                    self.mirror.publish_model(folder)
            self.mirror.finish()
            shutil.rmtree(self.path, ignore_errors=True)


def identity(config: RunConfig) -> JsonObject:
    """What makes two runs the same: a checkpoint is only resumed where it is equal."""
    return {"configDigest": config.digest(), "jobUid": config.job.uid if config.job else None}


def find_output(config: RunConfig, volumes: Volumes) -> Output:
    """The output's place, untouched."""
    uri = config.output.uri.rstrip("/")
    return Output(uri, locate(uri, volumes)) if is_path(uri) else _away(config, uri)


def open_output(config: RunConfig, volumes: Volumes) -> Output:
    """The output's place, made if need be, and proven to be writable and free for this run.

    Raises:
        TrainerError: OUTPUT when it cannot be written or holds another run; INTERNAL when it cannot be reached.
    """
    output = find_output(config, volumes)
    with output_failures(output.path):
        if output.path.exists() and not output.path.is_dir():
            raise output_error("OutputNotWritable", f"{output.uri}: {output.path} is not a folder")
        output.path.mkdir(parents=True, exist_ok=True)
        probe = output.path / f".write-{uuid.uuid4().hex}"
        probe.write_bytes(b"x")
        probe.unlink()
    if output.mirror:
        output.mirror.probe()
    _check_is_free(output, identity(config))
    return output


def _away(config: RunConfig, uri: str) -> Output:
    from finetune_trainer.storage.mirror import (
        Mirror,
        connect,
    )  # fsspec and the Hub's client: only where they are needed

    name = hashlib.sha256(json.dumps([uri, identity(config)]).encode()).hexdigest()[:32]
    folder = cache_folder() / "outputs" / name
    return Output(uri, folder, Mirror(connect(uri), folder))


def claim_output(output: Output, config: RunConfig, rows: JsonObject | None = None) -> None:
    """Mark the output as this run's. Only done once model and data are good: a mistake shall not cost a folder.

    Args:
        rows: Fingerprints of the rows that are learnt and evaluated on, for `check_same_rows`.
    """
    mine = identity(config)
    text = json.dumps({**mine, _ROWS: rows} if rows else mine, indent=2) + "\n"
    _check_is_free(output, mine)
    if output.mirror:
        output.mirror.create_mark(RUN, text.encode())
    else:
        with output_failures(output.path):
            create_atomically(output.path / RUN, text.encode())
    _check_is_free(output, mine)  # of two that come at the same time one was faster


def check_same_rows(output: Output, rows: Callable[[], JsonObject]) -> None:
    """Nothing of this run was learnt from other rows, or evaluated on others.

    Args:
        rows: Gives what `claim_output` would be given now. Only asked where a run has left it; runs of before have not.

    Raises:
        TrainerError: OUTPUT, with what changed.
    """
    mark = _read_mark(output)
    theirs = json.loads(mark).get(_ROWS) if mark else None
    if not theirs:
        return
    mine = rows()
    if theirs["columns"] != mine["columns"]:  # another version of the trainer, which reads more of them
        return
    changed = [name for name in ("training", "evaluation") if theirs[name] != mine[name]]
    if changed:
        raise output_error(
            "DataChanged",
            f"{output.uri} holds this run on other data: since it began, the {' and '.join(changed)} rows have changed",
            f"give output.uri another folder, or delete {output.shown(output.path)} to begin anew; to go on, put the data "
            "back as it was",
        )


def _check_is_free(output: Output, mine: JsonObject) -> None:
    mark = _read_mark(output)
    if mark is None:
        used = output.mirror.holds_files() if output.mirror else any((output.path / name).exists() for name in _OURS)
        theirs = None if used else mine
    else:
        try:
            theirs = json.loads(mark)
        except ValueError:
            theirs = None
        if isinstance(theirs, dict):
            theirs.pop(_ROWS, None)
    if theirs != mine:
        raise output_error(
            "OutputInUse",
            f"{output.uri} holds {_whose(theirs, mine)}",
            f"give output.uri another folder, or delete {output.shown(output.path)} if it is not needed any more",
        )


def _read_mark(output: Output) -> bytes | None:
    if output.mirror:
        return output.mirror.read_mark(RUN)
    with output_failures(output.path):
        path = output.path / RUN
        return path.read_bytes() if path.exists() else None


def _whose(theirs: object, mine: JsonObject) -> str:
    if not isinstance(theirs, dict):
        return "files that are not of a run of ours"
    same_settings = theirs.get("configDigest") == mine["configDigest"]
    return "the run of another job" if same_settings else "a run with other settings"
