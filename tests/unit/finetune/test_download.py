"""Models and checkpoints from a bucket arrive whole, or it says why not."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.api_server import FakeApi
from tests.unit.finetune.written_outputs import FILES, job, upload

from finetune import AsyncClient, Client
from finetune.download import NotVerified, artifact_of, download, verify
from finetune.errors import FineTuneError, NotFound, Refused
from finetune_trainer.base.files import digest_of, files_below


@pytest.mark.thorough
def test_a_model_arrives_as_the_trainer_wrote_it(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})

    names = download(done, artifact_of(done), tmp_path / "model")

    assert names == sorted(FILES)
    assert {name: (tmp_path / "model" / name).read_bytes() for name in names} == FILES


@pytest.mark.parametrize("of_the_file_itself", [True, False])
def test_an_output_that_is_one_file_arrives_in_a_folder(
    bucket: S3, written: Path, tmp_path: Path, of_the_file_itself: bool
) -> None:
    bucket.write("download/model.gguf", b"weights")
    file = tmp_path / "model.gguf"
    file.write_bytes(b"weights")
    digest = f"sha256:{hashlib.sha256(b'weights').hexdigest()}" if of_the_file_itself else digest_of([file], tmp_path)
    done = job(phase="Succeeded", model={"uri": f"s3://{BUCKET}/download/model.gguf", "digest": digest})

    names = download(done, artifact_of(done), tmp_path / "model")

    assert (names, (tmp_path / "model" / "model.gguf").read_bytes()) == (["model.gguf"], b"weights")
    copied = tmp_path / "as-kubectl-cp-names-it"
    copied.write_bytes(b"weights")
    assert verify(artifact_of(done), copied) == ["model.gguf"]
    for place in (copied, tmp_path / "model" / "model.gguf"):
        place.write_bytes(b"other")
        with pytest.raises(NotVerified, match="is not the model that the trainer wrote"):
            verify(artifact_of(done), place)
    bucket.write("download/model.gguf", b"other")
    with pytest.raises(NotVerified):
        download(done, artifact_of(done), tmp_path / "again")


def test_a_checkpoint_that_is_one_file_arrives_too(bucket: S3, tmp_path: Path) -> None:
    bucket.write("download/step-5.pt", b"weights")
    digest = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download/step-5.pt", "digest": digest}])

    assert download(known, artifact_of(known, 5), tmp_path / "checkpoint") == ["step-5.pt"]


def test_what_stands_for_a_folder_in_a_bucket_is_no_file_of_the_model(
    bucket: S3, written: Path, tmp_path: Path
) -> None:
    uri = upload(bucket, written)
    for name in ("download/", "download/a/"):
        bucket.write(name, b"")
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})

    assert download(done, artifact_of(done), tmp_path / "model") == sorted(FILES)


def test_a_model_that_is_one_json_file_arrives(bucket: S3, tmp_path: Path) -> None:
    for number, content in enumerate((b'{"learner": {}}', b"{no json")):
        bucket.write("download/model.json", content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        done = job(model={"uri": f"s3://{BUCKET}/download/model.json", "digest": digest})

        assert download(done, artifact_of(done), tmp_path / str(number)) == ["model.json"]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("file:///out/model", "gone with it"),
        ("hf://org/name", "hf download org/name"),
    ],
)
def test_where_the_output_is_in_no_bucket_it_says_how(tmp_path: Path, uri: str, says: str) -> None:
    done = job(model={"uri": uri})

    with pytest.raises(Refused) as raised:
        download(done, artifact_of(done), tmp_path / "model")

    assert says in str(raised.value)


def test_what_is_not_there_is_said(bucket: S3, tmp_path: Path) -> None:
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download"}])

    for checkpoint, message in ((None, "has no model yet"), ("6", "there are: 5"), ("best", "there are: 5")):
        with pytest.raises(NotFound, match=message):
            artifact_of(known, checkpoint)
    with pytest.raises(NotFound, match=r"holds no files|is not there"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")


def test_wrong_credentials_are_an_error_that_names_the_place(
    bucket: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    done = job(model={"uri": f"s3://{BUCKET}/download"})

    with pytest.raises(FineTuneError, match=f"s3://{BUCKET}/download"):
        download(done, artifact_of(done), tmp_path / "model")


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    done = job(model={"uri": "s3://x/y"})

    with pytest.raises(Refused, match="is there already"):
        download(done, artifact_of(done), tmp_path)


def test_a_link_to_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    done = job(model={"uri": "s3://x/y"})
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "nothing")

    with pytest.raises(Refused, match="is there already"):
        download(done, artifact_of(done), link)


def test_a_folder_that_cannot_be_written_is_told_as_that(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})

    with pytest.raises(FineTuneError, match=f"^{tmp_path}/written/a.txt/model cannot be written"):
        download(done, artifact_of(done), written / "a.txt" / "model")


@pytest.mark.thorough
@pytest.mark.parametrize("asynchronous", [True, False])
def test_from_python_it_is_one_call(
    api_server: FakeApi,
    kubeconfig: Path,
    bucket: S3,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = upload(bucket, written)
    digest = digest_of(files_below(written), written)
    api_server.job("stars", phase="Running")

    def call(**arguments: Any) -> Path:
        if not asynchronous:
            with Client() as client:
                job = client.get("stars")
                api_server.job("stars", phase="Succeeded", model={"uri": uri, "digest": digest})
                return job.download(**arguments)

        async def ask() -> Path:
            async with AsyncClient() as client:
                job = await client.get("stars")
                api_server.job("stars", phase="Succeeded", model={"uri": uri, "digest": digest})
                return await job.download(**arguments)

        return asyncio.run(ask())

    named, chosen = call(), call(folder="elsewhere")

    assert (named, chosen) == (Path("stars"), Path("elsewhere"))
    assert {name: (named / name).read_bytes() for name in FILES} == FILES
    with pytest.raises(Refused, match="is there already"):
        call()
    with pytest.raises(NotFound, match="has no checkpoint best"):
        call(checkpoint="best")
    bucket.write("download/a.txt", b"other")
    with pytest.raises(NotVerified):
        call(folder="changed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["elsewhere", "stars", "written"]
