"""An output away from this machine, in a bucket or on the Hub: what is complete on this machine is uploaded."""

import logging
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.files import files_below, remove_folder
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.folder import Folder, RemoteFolder
from finetune_trainer.storage.layout import (
    ADAPTER,
    CHECKPOINTS,
    HISTORY,
    LOCK,
    LOGS,
    MANIFEST,
    MAX_LOGS,
    MODEL_CONFIGS,
    PARTIAL,
    is_step_folder,
    step_of,
)
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.place import Entry, Place
from finetune_trainer.storage.uploads import HistoryUpload, Uploader

logger = logging.getLogger(__name__)


class RemoteOutput(Output):
    """An output at `place`, with a folder on this machine to write in.

    What is at the place counts: a checkpoint exists when its manifest, which goes up last and is deleted first, is there.
    """

    def __init__(self, place: Place, path: Path) -> None:
        super().__init__(place.uri, path)
        self._place = place
        self._logged = False
        self.flush_requested.set()
        self._uploader = Uploader(self.flush_requested)
        self._history = HistoryUpload(place, self.history, self._uploader.writing)

    def uri_of(self, path: Path) -> str:
        if path == self.model:
            return f"{self.uri}/{self._place.model_folder}".rstrip("/")
        return super().uri_of(path)

    def shown(self, path: Path) -> str:
        return self.uri_of(path)

    @property
    def free(self) -> int | None:
        return None

    def probe(self) -> None:
        super().probe()
        self._place.probe()

    def holds_files(self) -> bool:
        return any(
            name == HISTORY or name.rpartition("/")[2] in MODEL_CONFIGS or _in_checkpoint(name)
            for folder in (CHECKPOINTS, self._place.model_folder, ADAPTER, HISTORY)
            for name in self._place.entries(folder)
        )

    def read_marker(self, name: str) -> bytes | None:
        return self._place.read(name)

    def create_marker(self, name: str, content: bytes) -> None:
        with self._uploader.writing:
            self._place.create(name, content)

    def write_marker(self, name: str, content: bytes) -> None:
        self._uploader.keep_trying(name, lambda: self._place.write(name, content))

    def remove_marker(self, name: str) -> None:
        with self._uploader.writing:
            self._place.remove([name], first=name)

    def checkpoint_folders(self) -> Sequence[Folder]:
        return [
            RemoteFolder(self.checkpoints / folder, self._place, f"{CHECKPOINTS}/{folder}", files)
            for folder, files in sorted(self._listed().items())
        ]

    def _listed(self) -> dict[str, dict[str, Entry]]:
        """List the files of each checkpoint, by the names of folder and file."""
        folders: dict[str, dict[str, Entry]] = {}
        for name, entry in self._place.entries(CHECKPOINTS).items():
            if _in_checkpoint(name):
                _, folder, file = name.split("/", 2)
                folders.setdefault(folder, {})[file] = entry
        return folders

    def fetch(self, folder: Path, verify: Callable[[Path], str]) -> str:
        with output_failures(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.parent / LOCK):  # pods on one machine may share the folder
                return self._download(folder, verify) if verify(folder) else ""

    def _download(self, folder: Path, verify: Callable[[Path], str]) -> str:
        fresh = folder.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
        fresh.mkdir()
        try:
            name = self._name(folder)
            files = {file: fresh / file.removeprefix(f"{name}/") for file in self._place.entries(name)}
            for path in files.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            self._place.download(files)
            problem = verify(fresh)
            if not problem:
                shutil.rmtree(folder, ignore_errors=True)
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return problem

    def upload(self, folder: Path) -> None:
        name = self._name(folder)
        files: dict[str, Path | bytes] = {
            f"{name}/{path.relative_to(folder).as_posix()}": path for path in files_below(folder)
        }

        def send() -> None:
            stale = self._place.entries(name).keys() - files.keys()
            # Read now: the training goes on to write the file, and a service gets the size before it gets the bytes.
            history = {HISTORY: self._history.read()} if self._history.exists() else {}
            self._place.put(files | history, last=f"{name}/{MANIFEST}", removed=stale)

        self._uploader.keep_trying(f"the checkpoint of step {step_of(folder.name)}", send)

    def delete(self, folder: Path, trash: Path) -> bool:
        name = self._name(folder)
        try:
            with self._uploader.writing:
                self._place.remove(list(self._place.entries(name)), first=f"{name}/{MANIFEST}")
        except TrainerError as error:  # it costs space, which is not worth a run
            logger.warning("the checkpoint of step %d cannot be deleted: %s", step_of(folder.name), error)
            return False
        self.drop_copy(folder, trash)
        return True

    def drop_copy(self, folder: Path, trash: Path) -> None:
        with output_failures(folder.parent):
            remove_folder(folder, trash)

    def sweep(self) -> None:
        for folder, files in self._listed().items():
            if MANIFEST in files:
                continue
            names = [f"{CHECKPOINTS}/{folder}/{file}" for file in files]
            try:
                with self._uploader.writing:
                    self._place.remove(names, first=names[0])
            except TrainerError as error:
                logger.warning("half of a checkpoint, %s, cannot be deleted: %s", folder, error)

    @property
    def log_pause_seconds(self) -> float:
        return max(60.0, self._place.pause_seconds)

    def write_log(self, name: str, content: bytes) -> None:
        with self._uploader.writing:
            if not self._logged:
                there = sorted(self._place.entries(LOGS).keys() - {f"{LOGS}/{name}"})
                if old := there[: -MAX_LOGS + 1]:
                    self._place.remove(old, first=old[0])
            self._place.write(f"{LOGS}/{name}", content)
            self._logged = True

    def grow_file(self, name: str, content: bytes) -> None:
        with self._uploader.writing:
            self._place.write(name, content)

    def remove_files(self, folder: str) -> None:
        with self._uploader.writing:
            if names := sorted(self._place.entries(folder)):
                self._place.remove(names, first=names[0])

    def fetch_history(self) -> None:
        content = self._place.read(HISTORY)
        with output_failures(self.path):
            if content is None:
                self.history.unlink(missing_ok=True)
            else:
                self.history.write_bytes(content)

    def history_changed(self) -> None:
        self._history.changed()

    def send_history(self) -> None:
        if self._history.exists():
            self.flush_requested.set()
            self._uploader.keep_trying("the history", self._history.send)

    def publish_models(self) -> None:
        for folder, prefix in ((self.adapter, ADAPTER), (self.model, self._place.model_folder)):
            if folder.exists():
                self._publish_model(folder, prefix)
        self._history.stop()
        self.send_history()
        shutil.rmtree(self.path, ignore_errors=True)

    def _publish_model(self, folder: Path, prefix: str) -> None:
        """Upload an exported model. An older one is there until the new one is at the place in full."""
        local = {path.relative_to(folder).as_posix(): path for path in files_below(folder)}
        files = {f"{prefix}/{name}" if prefix else name: path for name, path in local.items()}
        last = next(name for name in files if name.rpartition("/")[2] in MODEL_CONFIGS)
        self._uploader.keep_trying("the model", lambda: self._place.replace(prefix, files, last))

    def _name(self, folder: Path) -> str:
        """Return the name of a folder at the place."""
        return folder.relative_to(self.path).as_posix()


def _in_checkpoint(name: str) -> bool:
    """Return whether a file at the place is one of a checkpoint."""
    parts = name.split("/", 2)
    return len(parts) == 3 and parts[0] == CHECKPOINTS and is_step_folder(parts[1])
