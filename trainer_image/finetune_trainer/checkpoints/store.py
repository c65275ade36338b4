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

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, output_error
from finetune_trainer.base.files import sync_folder
from finetune_trainer.checkpoints.manifest import SavedCheckpoint, examine, seal, verify
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.layout import PARTIAL, is_step_folder, step_folder
from finetune_trainer.storage.output import Output

logger = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one run in its output.

    Those count that are in the output. Where it is away from this machine, there are copies here of those that are
    needed: the newest and the best one.
    """

    def __init__(self, output: Output, run: JsonObject, keep: int) -> None:
        """`run` is the identity of the run, `keep` how many of the newest checkpoints are kept."""
        self.folder = output.checkpoints
        self.saved: list[SavedCheckpoint] = []
        """Those that are complete, oldest first. Replaced as a whole by the thread that saves, so that any may read it."""
        self.scratch = self.folder / f"{PARTIAL}{uuid.uuid4().hex}"
        """Where an engine writes what `publish` shall take."""
        self._output = output
        self._run = run
        self._keep = keep
        self._retired: list[SavedCheckpoint] = []

    @property
    def newest(self) -> SavedCheckpoint | None:
        return self.saved[-1] if self.saved else None

    def adopt(self, saved: list[SavedCheckpoint]) -> None:
        """Take over the checkpoints that the process which writes them knows of, at their paths on this machine."""
        self.saved = [replace(checkpoint, path=self.folder / checkpoint.path.name) for checkpoint in saved]

    def find(self) -> None:
        """Find the checkpoints that verify; broken ones are left alone. The newest is on this machine then."""
        found = []
        for folder in self._output.checkpoint_folders():
            checkpoint, problem = examine(folder, self._run)
            if checkpoint:
                found.append(checkpoint)
            else:
                _warn_unused(folder.path, problem)
        self.saved = sorted(found, key=lambda checkpoint: checkpoint.step)
        while (newest := self.newest) and not self.fetch(newest):
            pass

    def fetch(self, checkpoint: SavedCheckpoint) -> bool:
        """Copy one of `saved` to this machine. Return False if its files are broken: it is none of `saved` any more.

        Raises:
            TrainerError: The output cannot be read, or there is no space here.
        """
        problem = self._output.fetch(checkpoint.path, lambda path: self._problem(path, checkpoint))
        if problem:
            _warn_unused(checkpoint.path, problem)
            self.saved = [other for other in self.saved if other != checkpoint]
        return not problem

    def fetch_newest(self) -> None:
        """Copy the newest of `saved`, which another machine has found to be whole, to this one.

        Raises:
            TrainerError: OUTPUT when it is not here, INTERNAL when it came broken: the next attempt may do.
        """
        newest = self.newest
        if newest and not self.fetch(newest):
            raise TrainerError(
                ExitCode.INTERNAL,
                Reason.CHECKPOINT_BROKEN,
                f"{newest.path.name} came to this machine otherwise than its manifest has it, though not to another",
                "another attempt reads it again",
            )
        if newest and not newest.path.is_dir():
            raise output_error(
                Reason.CHECKPOINT_NOT_HERE,
                f"{newest.path} cannot be read on this machine",
                "the output of several machines must be on a volume that all of them mount, or in a bucket",
            )

    def begin(self) -> None:
        """Make room to write. What a killed process left behind is removed."""
        with output_failures(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f"{PARTIAL}*"):
                shutil.rmtree(leftover)
            self.scratch.mkdir()
        self._output.sweep()
        for path in self.folder.iterdir():
            if is_step_folder(path.name) and not (self.newest and path == self.newest.path):
                self._output.drop_copy(path, self.scratch)

    def publish(self, written: Path, step: int, epoch: float) -> SavedCheckpoint:
        """Make the folder `written`, below `scratch`, the checkpoint of `step`. It takes the place of a broken one."""
        with output_failures(self.folder):
            sealed = seal(written, self._run, step, epoch)
            path = self.folder / step_folder(step)
            if path.exists():
                path.rename(self.scratch / f"replaced-{uuid.uuid4().hex}")
            written.rename(path)
            sync_folder(self.folder)
        checkpoint = replace(sealed, path=path)
        self._output.upload(path)
        self.saved = sorted([*(kept for kept in self.saved if kept.step != step), checkpoint], key=lambda c: c.step)
        return checkpoint

    def rotate(self, best: SavedCheckpoint | None) -> None:
        """Retire all but the newest `keep` checkpoints and the best one. `sweep` deletes them.

        Between the two, nobody may be left with a report of what is retired: after a kill there, nothing is reported
        that is not there.
        """
        kept = {checkpoint.step for checkpoint in self.saved[-self._keep :]} | ({best.step} if best else set())
        self._retired += [checkpoint for checkpoint in self.saved if checkpoint.step not in kept]
        self.saved = [checkpoint for checkpoint in self.saved if checkpoint.step in kept]
        for checkpoint in self.saved:
            if checkpoint not in (best, self.newest):
                self._output.drop_copy(checkpoint.path, self.scratch)

    def sweep(self) -> None:
        """Delete what `rotate` retired. What cannot be deleted is tried again the next time."""
        retired, self._retired = self._retired, []
        for checkpoint in retired:
            if not self._output.delete(checkpoint.path, self.scratch):
                self._retired.append(checkpoint)

    def close(self) -> None:
        """Delete what `rotate` retired, and the scratch folder."""
        with suppress(TrainerError, OSError):
            self.sweep()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _problem(self, path: Path, checkpoint: SavedCheckpoint) -> str:
        """Return what keeps the folder at `path` from being `checkpoint`; empty if nothing does."""
        here, problem = verify(path, self._run)
        return "it has changed since it was found" if here and here.digest != checkpoint.digest else problem


def _warn_unused(path: Path, problem: str) -> None:
    logger.warning("checkpoint %s is not used: %s", path.name, problem)
