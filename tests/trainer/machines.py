"""Machines that write checkpoints to one place, each with its copy."""

from pathlib import Path
from typing import Any

from tests.s3_server import BUCKET

from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.remote_output import RemoteOutput

RUN: dict[str, Any] = {"configDigest": "sha256:1", "jobUid": None}


def output_at(there: str, folder: Path) -> RemoteOutput:
    return RemoteOutput(Bucket(f"s3://{BUCKET}/{there}", "output"), folder)


class Machine:
    """One machine with its copy of the output."""

    def __init__(self, folder: Path, there: str, keep: int = 3, run: dict[str, Any] = RUN) -> None:
        self.folder = folder
        self.output = output_at(there, folder)
        self.store = CheckpointStore(self.output, run, keep)
        self.store.find()

    def begin(self) -> "Machine":
        self.store.begin()
        return self

    def publish(self, step: int, content: bytes = b"weights") -> None:
        written = self.store.scratch / f"written-{step}"
        (written / "sub").mkdir(parents=True)
        (written / "model.bin").write_bytes(content)
        (written / "sub" / "state.bin").write_bytes(b"state")
        self.store.publish(written, step, step / 10)

    @property
    def steps(self) -> list[int]:
        return [checkpoint.step for checkpoint in self.store.saved]

    @property
    def here(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "checkpoints").glob("step-*"))
