"""The output of a run, as the rest of the trainer sees it: everything that the run writes is below it."""

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import output_error
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.folder import Folder
from finetune_trainer.storage.layout import ADAPTER, CHECKPOINTS, HISTORY, LOGS, MODEL


class Output(ABC):
    """An output, and its folder on this machine, where everything is written first.

    In a `LocalOutput` this folder is the output. A `RemoteOutput` brings to its place what is complete; what is there
    counts, and the folder has copies. Every method that reads or writes the output raises TrainerError when it cannot.
    """

    def __init__(self, uri: str, path: Path) -> None:
        self.uri = uri
        self.path = path
        """The folder on this machine."""
        self.flush_requested = threading.Event()
        """Set while something waits for what is being saved: from then on it is tried for a limited time only."""

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
    def logs(self) -> Path:
        return self.path / LOGS

    def uri_of(self, path: Path) -> str:
        """Return the URI of something below the output."""
        return f"{self.uri}/{path.relative_to(self.path).as_posix()}".removesuffix("/.")

    @abstractmethod
    def shown(self, path: Path) -> str:
        """Return how to name something below the output to people."""

    @property
    @abstractmethod
    def free(self) -> int | None:
        """Bytes that can still be written; None where nobody knows."""

    def probe(self) -> None:
        """Create the output's folder, and check that the output can be written."""
        with output_failures(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise output_error(Reason.OUTPUT_NOT_WRITABLE, f"{self.uri}: {self.path} is not a folder")
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-{uuid.uuid4().hex}"
            probe.write_bytes(b"x")
            probe.unlink()

    @abstractmethod
    def holds_files(self) -> bool:
        """Return whether there is something that a run may have made."""

    # Markers: small files at the top

    @abstractmethod
    def read_marker(self, name: str) -> bytes | None:
        """Return the content of a marker; None if there is none."""

    @abstractmethod
    def create_marker(self, name: str, content: bytes) -> None:
        """Write a marker unless there is one. Another run may be faster: read it back."""

    @abstractmethod
    def write_marker(self, name: str, content: bytes) -> None:
        """Write a marker in place of any other of that name."""

    @abstractmethod
    def remove_marker(self, name: str) -> None:
        """Delete a marker that is there."""

    # Folders of checkpoints, by their paths on this machine

    @abstractmethod
    def checkpoint_folders(self) -> Sequence[Folder]:
        """List the folders that are named as checkpoints, complete or not, by their names."""

    @abstractmethod
    def fetch(self, folder: Path, verify: Callable[[Path], str]) -> str:
        """Copy a folder to this machine, unless it is there.

        Args:
            verify: Returns what is wrong with a folder on this machine; empty if nothing is.

        Returns:
            What is wrong with the folder; then it is not copied. Empty if nothing is.
        """

    @abstractmethod
    def upload(self, folder: Path) -> None:
        """Bring a complete folder of this machine, and the history so far, to the place of the output."""

    @abstractmethod
    def delete(self, folder: Path, trash: Path) -> bool:
        """Delete a folder, through `trash`, a folder on this machine. Return False if it could not be: try again later."""

    @abstractmethod
    def drop_copy(self, folder: Path, trash: Path) -> None:
        """Delete the copy of a folder on this machine, if it is no more than that: a copy."""

    @abstractmethod
    def sweep(self) -> None:
        """Delete what is left of uploads and deletions that were cut short."""

    # Logs

    @property
    @abstractmethod
    def log_pause_seconds(self) -> float:
        """Shortest time between two writes of a log."""

    @abstractmethod
    def write_log(self, name: str, content: bytes) -> None:
        """Write a log in place of any other of that name, and delete all but the newest ones."""

    # Files of trackers

    @abstractmethod
    def grow_file(self, name: str, content: bytes) -> None:
        """Write a file, or bring what was added to it since the last time. Whoever has it open can go on reading."""

    @abstractmethod
    def remove_files(self, folder: str) -> None:
        """Delete all files in a folder; what folders hold that others made there may stay."""

    # History and models

    @abstractmethod
    def fetch_history(self) -> None:
        """Copy the history to this machine, in place of any other. Only for the run itself: it drops what is here."""

    @abstractmethod
    def history_changed(self) -> None:
        """Send the history soon, without waiting for it."""

    @abstractmethod
    def send_history(self) -> None:
        """Send the history, and wait for it."""

    @abstractmethod
    def publish_models(self) -> None:
        """Bring what was exported, and the history for the last time, to the place; then nothing on this machine is needed."""
