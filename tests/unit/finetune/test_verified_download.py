"""What is not what the trainer wrote is not kept."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.written_outputs import FILES, job, upload

from finetune.download import NotVerified, artifact_of, download, verify
from finetune_trainer.base.files import digest_of, files_below
from finetune_trainer.checkpoints.manifest import seal


def test_a_model_that_somebody_changed_is_not_kept(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})
    bucket.write("download/a.txt", b"other")

    with pytest.raises(NotVerified, match="is not the model that the trainer wrote"):
        download(done, artifact_of(done), tmp_path / "model")

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


@pytest.mark.parametrize("chosen", ["best", "latest", "5"])
def test_a_checkpoint_arrives_with_every_file_of_its_manifest(
    bucket: S3, written: Path, tmp_path: Path, chosen: str
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    reference = {"step": 5, "uri": uri}
    known = job(
        phase="Running",
        checkpoints=[{**reference, "digest": sealed.digest}],
        latestCheckpoint=reference,
        bestCheckpoint={**reference, "metric": "eval_loss", "value": "1"},
    )

    names = download(known, artifact_of(known, chosen), tmp_path / "checkpoint")
    bucket.write("download/a/b.bin", b"other")

    assert names == sorted([*FILES, "manifest.json"])
    with pytest.raises(NotVerified, match=r"not those that the trainer wrote: a/b\.bin"):
        download(known, artifact_of(known, chosen), tmp_path / "again")


def test_a_file_that_somebody_put_beside_those_of_a_checkpoint_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    bucket.write("download/modeling.py", b"import os")
    known = job(checkpoints=[{"step": 5, "uri": uri, "digest": sealed.digest}])

    with pytest.raises(NotVerified, match=r"not those that the trainer wrote: modeling\.py"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


@pytest.mark.parametrize("beside", ["manifest.json", "download"])
def test_a_checkpoint_of_which_the_manifest_alone_is_left_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path, beside: str
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    manifest = written / "manifest.json"
    bucket.write(f"download/{beside}", manifest.read_bytes())
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download", "digest": sealed.digest}])

    with pytest.raises(NotVerified):
        download(known, artifact_of(known, 5), tmp_path / "checkpoint")
    with pytest.raises(NotVerified):
        verify(artifact_of(known, 5), manifest)

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


def test_a_list_of_the_files_of_a_model_is_no_model(bucket: S3, written: Path, tmp_path: Path) -> None:
    digest = digest_of(files_below(written), written)
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(written).as_posix()}\n"
        for path in files_below(written)
    )
    bucket.write("download/model.bin", sums.encode())
    done = job(model={"uri": f"s3://{BUCKET}/download", "digest": digest})
    assert f"sha256:{hashlib.sha256(sums.encode()).hexdigest()}" == digest

    with pytest.raises(NotVerified):
        download(done, artifact_of(done), tmp_path / "model")


def test_a_manifest_that_somebody_made_up_is_not_believed(bucket: S3, written: Path, tmp_path: Path) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    text = json.loads((written / "manifest.json").read_text())
    text["files"]["a.txt"]["sha256"] = hashlib.sha256(b"other").hexdigest()
    bucket.write("download/manifest.json", json.dumps(text).encode())
    known = job(checkpoints=[{"step": 5, "uri": uri, "digest": sealed.digest}])

    with pytest.raises(NotVerified, match="the manifest in the copy of"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")
