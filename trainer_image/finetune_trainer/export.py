"""Writes the model as `from_pretrained` loads it: whole, or not at all."""

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from finetune_api.status import ExportedModel
from finetune_trainer.checkpoints import MANIFEST, SavedCheckpoint, sha256_of
from finetune_trainer.failures import output_failures
from finetune_trainer.storage import Output, sync_file, sync_folder

STATE_FILES = (
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "training_args.bin",
)
"""What a checkpoint holds besides the model and its tokenizer."""


def export_model(checkpoint: SavedCheckpoint, output: Output) -> ExportedModel:
    """Copy a checkpoint without the files that only a resumed training needs to `model/`."""
    left_out = {MANIFEST, *STATE_FILES}
    with output_failures(output.path):
        for leftover in output.path.glob(".model-*"):
            shutil.rmtree(leftover)
        fresh = output.path / f".model-{uuid.uuid4().hex}"
        shutil.copytree(checkpoint.path, fresh, ignore=lambda folder, names: left_out & set(names))
        files = sorted(path for path in fresh.rglob("*") if path.is_file())
        for path in files:
            sync_file(path)
        sync_folder(fresh)
        exported = ExportedModel(
            uri=output.uri_of(output.model),
            digest=_digest(fresh, files),
            size_bytes=sum(path.stat().st_size for path in files),
        )
        if output.model.exists():
            old = output.path / f".model-{uuid.uuid4().hex}"
            output.model.rename(old)
            fresh.rename(output.model)
            shutil.rmtree(old)
        else:
            fresh.rename(output.model)
        sync_folder(output.path)
    return exported


def _digest(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 over the lines that `sha256sum` prints for the files in order of their names."""
    lines = "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
