"""Keeps an output at a place away from this machine. Everything is written here first, and goes there when complete.

What is there counts: a checkpoint exists when its manifest, which goes up last and is deleted first, is there.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from finetune_api.base import JsonObject
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.checkpoints.manifest import SavedCheckpoint, read_manifest, saved_as
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.errors import may_pass
from finetune_trainer.storage.hub import HubRepository
from finetune_trainer.storage.layout import ADAPTER, CHECKPOINTS, HISTORY, MANIFEST, MODEL, MODEL_CONFIGS
from finetune_trainer.storage.place import Bucket, Entry, Place

logger = logging.getLogger(__name__)

_STEP = re.compile(rf"({CHECKPOINTS}/step-\d+)/(.+)")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
HURRY_SECONDS = 30.0
"""How long an upload is still tried once something waits for it."""


def connect(uri: str) -> Place:
    """The place of output.uri."""
    return HubRepository(uri) if uri.startswith("hf://") else Bucket(uri, "output")


class Mirror:
    """An output at `place`, with `folder` on this machine to write in."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self._halves: dict[str, list[str]] = {}
        self.hurried = threading.Event()
        """Set while something waits for the upload that is running, or would."""
        self.hurried.set()
        self._writing = threading.Lock()
        """One writes at a time: the Hub refuses commits that meet, and no older history may come after a newer one."""
        self._history = _HistoryUpload(place, folder / HISTORY, self._writing)

    @property
    def model_uri(self) -> str:
        """Where the exported model comes to stand."""
        return f"{self._place.uri}/{self._place.model_folder}".rstrip("/")

    def probe(self) -> None:
        """Prove that the place can be written."""
        self._place.probe()

    # The run's mark

    def read_mark(self, name: str) -> bytes | None:
        return self._place.read(name)

    def create_mark(self, name: str, content: bytes) -> None:
        """Write the mark if there is none. Another run may have been faster: read it back."""
        with self._writing:
            self._place.create(name, content)

    def write_mark(self, name: str, content: bytes) -> None:
        """Write a mark in place of any other of that name."""
        self._keep_trying(name, lambda: self._place.write(name, content))

    def remove_mark(self, name: str) -> None:
        """Delete a mark that is there."""
        with self._writing:
            self._place.remove([name], first=name)

    def holds_files(self) -> bool:
        """Whether something is there that a run may have made."""
        return any(
            _STEP.match(name) or name == HISTORY or name.rpartition("/")[2] in MODEL_CONFIGS
            for folder in (CHECKPOINTS, self._place.model_folder, ADAPTER, HISTORY)
            for name in self._place.entries(folder)
        )

    # Checkpoints

    def find(self, run: JsonObject) -> list[SavedCheckpoint]:
        """The checkpoints that are there in full, oldest first, by their manifests and the sizes of their files."""
        self._halves = {}
        folders: dict[str, dict[str, Entry]] = {}
        for name, entry in self._place.entries(CHECKPOINTS).items():
            if match := _STEP.fullmatch(name):
                folders.setdefault(match[1], {})[match[2]] = entry
        found = []
        for folder, files in sorted(folders.items()):
            checkpoint, problem = self._look(folder, files, run)
            if checkpoint:
                found.append(checkpoint)
            else:
                logger.warning("checkpoint %s is not used: %s", folder.rpartition("/")[2], problem)
                if MANIFEST not in files:
                    self._halves[folder] = [f"{folder}/{name}" for name in files]
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def _look(self, folder: str, files: dict[str, Entry], run: JsonObject) -> tuple[SavedCheckpoint | None, str]:
        text = self._place.read(f"{folder}/{MANIFEST}") if MANIFEST in files else None
        if text is None:
            return None, f"{MANIFEST} is missing"
        manifest, problem = read_manifest(text, run)
        if manifest is None:
            return None, problem
        for name, entry in manifest.files.items():
            if name not in files:
                return None, f"{name} is missing"
            if files[name].size != entry.size:
                return None, f"{name} has another size than its manifest says"
        return saved_as(self._folder / folder, manifest, text), ""

    def download(self, checkpoint: SavedCheckpoint, into: Path) -> None:
        """Copy all files of a checkpoint to an empty folder. Whether they are right is for the caller to verify.

        Raises:
            TrainerError: It is not there any more, or the place cannot be read.
        """
        folder = self._name(checkpoint)
        files = {name: into / name.removeprefix(f"{folder}/") for name in self._place.entries(folder)}
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._place.download(files)

    def upload(self, checkpoint: SavedCheckpoint) -> None:
        """Have a complete checkpoint of this machine there, with the history so far."""
        folder = self._name(checkpoint)
        files: dict[str, Path | bytes] = {
            f"{folder}/{path.relative_to(checkpoint.path).as_posix()}": path for path in _files(checkpoint.path)
        }

        def send() -> None:
            stale = self._place.entries(folder).keys() - files.keys()
            # Read now: the training goes on to write the file, and a service is told the size before it gets the bytes.
            history = {HISTORY: self._history.read()} if self._history.exists() else {}
            self._place.put(files | history, last=f"{folder}/{MANIFEST}", removed=stale)

        self._keep_trying(f"the checkpoint of step {checkpoint.step}", send)

    def remove(self, checkpoint: SavedCheckpoint) -> bool:
        """Delete a checkpoint there. False if that was not possible: it costs space, which is not worth a run."""
        folder = self._name(checkpoint)
        try:
            with self._writing:
                self._place.remove(list(self._place.entries(folder)), first=f"{folder}/{MANIFEST}")
        except TrainerError as error:
            logger.warning("the checkpoint of step %d cannot be deleted: %s", checkpoint.step, error)
            return False
        return True

    def sweep(self) -> None:
        """Delete what an upload or a deletion that was cut left behind."""
        for folder, names in self._halves.items():
            try:
                with self._writing:
                    self._place.remove(names, first=names[0])
            except TrainerError as error:
                logger.warning("half of a checkpoint, %s, cannot be deleted: %s", folder, error)
        self._halves = {}

    # History and models

    def fetch_history(self) -> None:
        """Take over the history that is there, in place of any older one on this machine."""
        content = self._place.read(HISTORY)
        path = self._folder / HISTORY
        with output_failures(self._folder):
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)

    def history_changed(self) -> None:
        """Have the history sent soon, by a thread: the training does not wait, and a failure costs nothing yet."""
        self._history.changed()

    def send_history(self) -> None:
        """Have the history of this machine there.

        Raises:
            TrainerError: It cannot be written.
        """
        if self._history.exists():
            self.hurried.set()
            self._keep_trying("the history", self._history.send)

    def publish_model(self, folder: Path) -> None:
        """Have the exported model in `folder` there. An older one stands until the new one is there in full."""
        prefix = self._place.model_folder if folder.name == MODEL else folder.name
        local = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
        files = {f"{prefix}/{name}" if prefix else name: path for name, path in local.items()}
        last = next(name for name in files if name.rpartition("/")[2] in MODEL_CONFIGS)
        self._keep_trying("the model", lambda: self._place.replace(prefix, files, last))

    def finish(self) -> None:
        """Send the history for the last time.

        Raises:
            TrainerError: It cannot be written.
        """
        self._history.stop()
        self.send_history()

    def _keep_trying(self, what: str, send: Callable[[], None]) -> None:
        """Try until it is done, or for `HURRY_SECONDS` from when something waits for it.

        Raises:
            TrainerError: OUTPUT when the place refuses, else INTERNAL: it could be written when the run began, and
                the next attempt looks anew whether it can.
        """
        pause, late = _FIRST_PAUSE_SECONDS, None
        while True:
            try:
                with self._writing:
                    return send()
            except TrainerError as error:
                if self.hurried.is_set() and late is None:
                    late = time.monotonic() + HURRY_SECONDS
                if not may_pass(error):
                    raise
                if late is not None and time.monotonic() >= late:
                    raise TrainerError(ExitCode.INTERNAL, error.reason, error.message, error.hint) from error
                logger.warning("%s cannot be uploaded yet, trying again: %s", what, error)
            if late is None:
                self.hurried.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                time.sleep(_FIRST_PAUSE_SECONDS)

    def _name(self, checkpoint: SavedCheckpoint) -> str:
        return checkpoint.path.relative_to(self._folder).as_posix()


class _HistoryUpload:
    """Sends the history from a thread when it has changed, with a pause between two times."""

    def __init__(self, place: Place, path: Path, writing: threading.Lock) -> None:
        """`writing` is held while something is written at the place."""
        self._place = place
        self._path = path
        self._writing = writing
        self._changed, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def changed(self) -> None:
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="history", daemon=True)
            self._thread.start()

    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> bytes:
        """As it is now. A line that is just being written may be cut: readers drop such a last line."""
        return self._path.read_bytes()

    def send(self) -> None:
        """Send it now. Only with `writing` held."""
        self._place.write(HISTORY, self.read())

    def stop(self) -> None:
        """End the thread, once it has sent what it is sending."""
        self._over.set()
        self._changed.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while self._changed.wait() and not self._over.is_set():
            self._changed.clear()
            try:
                with self._writing:
                    self.send()
            except TrainerError as error:
                logger.warning("the history cannot be uploaded yet: %s", error)
            self._over.wait(self._place.pause_seconds)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
