"""Checkpoints that are complete or absent.

A checkpoint is written to a scratch folder beside its place, synced, given a manifest with the SHA-256 of each file,
and only then renamed to `step-000125`. What is read back is verified first.
"""

import logging
import shutil
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from finetune_api.base import JsonObject
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, output_error
from finetune_trainer.base.files import sync_folder
from finetune_trainer.checkpoints.manifest import SavedCheckpoint, seal, verify
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.layout import PARTIAL, step_folder

if TYPE_CHECKING:
    from finetune_trainer.storage.mirror import Mirror

logger = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one run below one folder. All paths are on a local or mounted file system.

    With a mirror, those count that are there; here stand those that are needed: the newest and the best one.
    """

    def __init__(self, folder: Path, run: JsonObject, keep: int, mirror: "Mirror | None" = None) -> None:
        self.folder = folder
        self._mirror = mirror
        self.saved: list[SavedCheckpoint] = []
        """Those that are complete, oldest first. Replaced as a whole by the thread that saves, so that any may read it."""
        self._retired: list[SavedCheckpoint] = []
        self._run = run
        self._keep = keep
        self._scratch = folder / f"{PARTIAL}{uuid.uuid4().hex}"

    def adopt(self, saved: list[SavedCheckpoint]) -> None:
        """Know of the same checkpoints as the process that writes them, at their places on this machine."""
        self.saved = [replace(checkpoint, path=self.folder / checkpoint.path.name) for checkpoint in saved]

    def find(self) -> None:
        """Find the checkpoints that verify; broken ones are left alone. The newest is on this machine then."""
        if self._mirror:
            self.saved = self._mirror.find(self._run)
            while (newest := self.newest) and not self.fetch(newest):
                pass
            return
        found = []
        for path in sorted(self.folder.glob("step-*")):
            checkpoint, problem = verify(path, self._run)
            if checkpoint:
                found.append(checkpoint)
            else:
                logger.warning("checkpoint %s is not used: %s", path.name, problem)
        self.saved = sorted(found, key=lambda checkpoint: checkpoint.step)

    def fetch(self, checkpoint: SavedCheckpoint) -> bool:
        """Have the files of one of `saved` on this machine. False if they are broken: it is none of `saved` any more.

        Raises:
            TrainerError: The place cannot be read, or there is no space here.
        """
        if self._mirror is None:
            return True
        with output_failures(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):  # pods on one machine may share the folder
                problem = self._download(self._mirror, checkpoint)
        if problem:
            logger.warning("checkpoint %s is not used: %s", checkpoint.path.name, problem)
            self.saved = [other for other in self.saved if other != checkpoint]
        return not problem

    def fetch_newest(self) -> None:
        """Have the newest of `saved`, which another machine has found to be whole, on this one.

        Raises:
            TrainerError: OUTPUT when it is not here, INTERNAL when it came broken: the next attempt may do.
        """
        newest = self.newest
        if newest and not self.fetch(newest):
            raise TrainerError(
                ExitCode.INTERNAL,
                "CheckpointBroken",
                f"{newest.path.name} came to this machine otherwise than its manifest says, though not to another",
                "the next attempt reads it anew",
            )
        if newest and not newest.path.is_dir():
            raise output_error(
                "CheckpointNotHere",
                f"{newest.path} cannot be read on this machine",
                "the output of several machines must be on a volume that all of them mount, or in a bucket",
            )

    def _download(self, mirror: "Mirror", checkpoint: SavedCheckpoint) -> str:
        """What is wrong with it; empty if nothing is."""
        here, problem = verify(checkpoint.path, self._run)
        if here and here.digest == checkpoint.digest:
            return ""
        fresh = self.folder / f"{PARTIAL}{uuid.uuid4().hex}"
        fresh.mkdir()
        try:
            mirror.download(checkpoint, fresh)
            here, problem = verify(fresh, self._run)
            if here:
                shutil.rmtree(checkpoint.path, ignore_errors=True)
                fresh.rename(checkpoint.path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return problem

    def begin(self) -> None:
        """Make room to write. Leftovers of a killed process are removed."""
        with output_failures(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f"{PARTIAL}*"):
                shutil.rmtree(leftover)
            self._scratch.mkdir()
        if self._mirror:
            self._mirror.sweep()
            for path in self.folder.glob("step-*"):
                if not self.newest or path != self.newest.path:
                    self._discard(path)

    def close(self) -> None:
        """Remove what `rotate` let go, and the scratch folder."""
        with suppress(TrainerError, OSError):
            self.sweep()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Where an engine writes what `publish` shall take."""
        return self._scratch

    @property
    def newest(self) -> SavedCheckpoint | None:
        return self.saved[-1] if self.saved else None

    def publish(self, written: Path, step: int, epoch: float) -> SavedCheckpoint:
        """Make the folder `written`, below `scratch`, the checkpoint of `step`. It takes the place of a broken one."""
        with output_failures(self.folder):
            digest, size, time = seal(written, self._run, step, epoch)
            path = self.folder / step_folder(step)
            if path.exists():
                path.rename(self._scratch / f"replaced-{uuid.uuid4().hex}")
            written.rename(path)
            sync_folder(self.folder)
        checkpoint = SavedCheckpoint(step, epoch, path, size, digest, time)
        if self._mirror:
            self._mirror.upload(checkpoint)
        self.saved = sorted([*(kept for kept in self.saved if kept.step != step), checkpoint], key=lambda c: c.step)
        return checkpoint

    def rotate(self, best: SavedCheckpoint | None) -> None:
        """Let all go but the newest `keep` and the best one. `sweep` removes them.

        What was told of them must be taken back before: after a kill in between, nothing is told that is not there.
        """
        kept = {checkpoint.step for checkpoint in self.saved[-self._keep :]} | ({best.step} if best else set())
        self._retired += [checkpoint for checkpoint in self.saved if checkpoint.step not in kept]
        self.saved = [checkpoint for checkpoint in self.saved if checkpoint.step in kept]
        for checkpoint in self.saved if self._mirror else []:
            if checkpoint not in (best, self.newest):
                self._discard(checkpoint.path)

    def sweep(self) -> None:
        """Remove what `rotate` let go."""
        retired, self._retired = self._retired, []
        for checkpoint in retired:
            if self._mirror and not self._mirror.remove(checkpoint):
                self._retired.append(checkpoint)
            else:
                self._discard(checkpoint.path)

    def _discard(self, path: Path) -> None:
        # Renamed first: half of a removed checkpoint must never stand under its name.
        doomed = self._scratch / f"removed-{uuid.uuid4().hex}"
        with output_failures(self.folder):
            if path.exists():
                path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
