"""An output on this machine: a folder, or a volume that is mounted."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from finetune_trainer.base.files import create_atomically, remove_folder, write_atomically
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.folder import Folder, LocalFolder
from finetune_trainer.storage.layout import ADAPTER, CHECKPOINTS, HISTORY, MAX_LOGS, MODEL, is_step_folder
from finetune_trainer.storage.output import Output


class LocalOutput(Output):
    """An output that is its folder on this machine: whatever is written there has arrived."""

    def shown(self, path: Path) -> str:
        return str(path)

    @property
    def free(self) -> int | None:
        return shutil.disk_usage(self.path).free

    def holds_files(self) -> bool:
        return any((self.path / name).exists() for name in (CHECKPOINTS, MODEL, ADAPTER, HISTORY))

    def read_marker(self, name: str) -> bytes | None:
        with output_failures(self.path):
            path = self.path / name
            return path.read_bytes() if path.exists() else None

    def create_marker(self, name: str, content: bytes) -> None:
        with output_failures(self.path):
            create_atomically(self.path / name, content)

    def write_marker(self, name: str, content: bytes) -> None:
        with output_failures(self.path):
            write_atomically(self.path / name, content)

    def remove_marker(self, name: str) -> None:
        with output_failures(self.path):
            (self.path / name).unlink(missing_ok=True)

    def checkpoint_folders(self) -> Sequence[Folder]:
        return [LocalFolder(path) for path in sorted(self.checkpoints.glob("*")) if is_step_folder(path.name)]

    def fetch(self, folder: Path, verify: Callable[[Path], str]) -> str:
        return ""

    def upload(self, folder: Path) -> None:
        """It is there already, as with all that follows."""

    def delete(self, folder: Path, trash: Path) -> bool:
        with output_failures(folder.parent):
            remove_folder(folder, trash)
        return True

    def drop_copy(self, folder: Path, trash: Path) -> None:
        pass

    def sweep(self) -> None:
        pass

    @property
    def log_pause_seconds(self) -> float:
        return 5.0

    def write_log(self, name: str, content: bytes) -> None:
        with output_failures(self.path):
            self.logs.mkdir(exist_ok=True)
            if not (self.logs / name).exists():
                for old in sorted(self.logs.iterdir())[: -MAX_LOGS + 1]:
                    old.unlink(missing_ok=True)
            write_atomically(self.logs / name, content)

    def grow_file(self, name: str, content: bytes) -> None:
        path = self.path / name
        with output_failures(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(content[file.tell() :])

    def remove_files(self, folder: str) -> None:
        with output_failures(self.path):
            for path in (self.path / folder).glob("*"):
                if not path.is_dir():
                    path.unlink(missing_ok=True)

    def fetch_history(self) -> None:
        pass

    def history_changed(self) -> None:
        pass

    def send_history(self) -> None:
        pass

    def publish_models(self) -> None:
        pass
