"""A model or checkpoint as the trainer writes it, in a bucket."""

from pathlib import Path
from typing import Any

from tests.s3_server import BUCKET, S3

from finetune.snapshot import Snapshot, read_snapshot
from finetune_trainer.base.files import files_below

FILES = {"config.json": b"{}", "a/b.bin": b"weights", "a.txt": b"text"}


def job(**status: Any) -> Snapshot:
    return read_snapshot({"metadata": {"name": "job", "namespace": "team-a"}, "status": status})


def upload(bucket: S3, folder: Path) -> str:
    for path in files_below(folder):
        bucket.write(f"download/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"s3://{BUCKET}/download"
