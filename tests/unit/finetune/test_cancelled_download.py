"""A download that is cancelled keeps nothing, and takes nothing from the next."""

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.s3_server import S3
from tests.unit.finetune.written_outputs import FILES, job, upload

import finetune.download
from finetune.download import artifact_of, download, download_in_thread
from finetune.errors import FineTuneError
from finetune_trainer.base.files import digest_of, files_below


def test_a_download_that_is_cancelled_takes_nothing_from_the_next(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook: the cell is interrupted and run again, while the first still waits for its next part."""
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    real, depth = finetune.download.verify, 0

    def verify_while_the_first_ends(*arguments: Any) -> list[str]:
        nonlocal depth
        depth += 1
        if depth == 1:
            stop = Event()
            stop.set()
            with pytest.raises(FineTuneError, match="was cancelled"):
                download(done, artifact_of(done), tmp_path / "model", stop)
        return real(*arguments)

    monkeypatch.setattr(finetune.download, "verify", verify_while_the_first_ends)

    assert download(done, artifact_of(done), tmp_path / "model") == sorted(FILES)


def test_what_is_cancelled_while_it_is_verified_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, stop = upload(bucket, written), Event()
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    monkeypatch.setattr(finetune.download, "verify", lambda *_: stop.set())

    with pytest.raises(FineTuneError, match="was cancelled"):
        download(done, artifact_of(done), tmp_path / "model", stop)

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


async def test_a_download_that_is_cancelled_ends_and_keeps_nothing(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    begun, cancelled, ended = Event(), Event(), Event()
    verified: list[object] = []

    def fetch(*arguments: Any) -> None:
        begun.set()
        cancelled.wait()
        try:
            real(*arguments)
        finally:
            ended.set()

    real = finetune.download._fetch
    monkeypatch.setattr(finetune.download, "_fetch", fetch)
    monkeypatch.setattr(finetune.download, "verify", verified.append)
    task = asyncio.create_task(download_in_thread(done, artifact_of(done), tmp_path / "model"))
    await asyncio.to_thread(begun.wait)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled.set()
    await asyncio.to_thread(ended.wait)

    assert verified == []
    assert not (tmp_path / "model").exists()
