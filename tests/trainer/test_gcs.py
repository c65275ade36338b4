"""Output and sources in Google Cloud Storage, by gcsfs as it is, against a server with its answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trainer.gcs_server import BUCKET, GcsServer

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage import bucket
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.credentials import Role
from finetune_trainer.storage.download import find_source


@pytest.fixture
def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    server = GcsServer()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    monkeypatch.setattr(bucket, "storage_options", lambda scheme, role: {"token": "anon"})
    yield server
    server.shutdown()
    server.server_close()


def output(folder: str = "out") -> Bucket:
    return Bucket(f"gs://{BUCKET}/{folder}", "output")


def test_files_go_there_and_come_back(gcs: GcsServer, tmp_path: Path) -> None:
    place = output()
    (tmp_path / "weights").write_bytes(b"weights")
    place.put({"a/manifest": b"{}", "a/weights": tmp_path / "weights"}, last="a/manifest")
    place.put({"b/weights": b"more"}, last="b/weights")

    found = place.entries("a")
    place.download({"a/weights": tmp_path / "copy"})
    place.remove(["b/weights", "b/none"], first="b/weights")

    assert {name: entry.size for name, entry in found.items()} == {"a/manifest": 2, "a/weights": 7}
    assert all(entry.tag for entry in found.values())
    assert (tmp_path / "copy").read_bytes() == b"weights"
    assert (place.read("a/manifest"), place.read("none")) == (b"{}", None)
    assert list(gcs.files) == ["out/a/weights", "out/a/manifest"]  # in the order that they came


def test_a_mark_is_only_made_where_there_is_none(gcs: GcsServer) -> None:
    output().create("run.json", b"mine")
    output().create("run.json", b"yours")

    assert gcs.files == {"out/run.json": b"mine"}


def test_a_new_model_takes_the_place_of_the_old_one(gcs: GcsServer, tmp_path: Path) -> None:
    gcs.files = {"out/model/config.json": b"old", "out/model/old": b"old", "out/run.json": b"{}"}
    (tmp_path / "config.json").write_text("new")

    output().replace("model", {"model/config.json": tmp_path / "config.json"}, last="model/config.json")

    assert gcs.files == {"out/model/config.json": b"new", "out/run.json": b"{}"}


def test_two_that_prove_a_bucket_at_once_do_not_disturb_each_other(gcs: GcsServer) -> None:
    gcs.deleted_before = {"out/.write-probe"}

    output().probe()

    assert gcs.files == {}


@pytest.mark.parametrize(
    ("uri", "role", "forbidden", "code", "reason", "hint"),
    [
        (f"gs://{BUCKET}/x", "output", {"POST"}, ExitCode.OUTPUT, "AccessDenied", "let them list, read, write and"),
        (f"gs://{BUCKET}/x", "output", {"DELETE"}, ExitCode.OUTPUT, "AccessDenied", "let them list, read, write and"),
        (f"gs://{BUCKET}/x", "model", {"GET"}, ExitCode.MODEL, "AccessDenied", "let them list, read there"),
        ("gs://none/x", "output", set(), ExitCode.OUTPUT, "BucketNotFound", "check the spelling"),
        ("gs://none/x", "model", set(), ExitCode.MODEL, "ModelNotFound", "that there is such a bucket"),
        (f"gs://{BUCKET}/x", "dataset", set(), ExitCode.DATA, "DatasetNotFound", "that there is such a bucket"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_reported_with_a_remedy(
    gcs: GcsServer, uri: str, role: Role, forbidden: set[str], code: ExitCode, reason: str, hint: str
) -> None:
    gcs.forbidden = forbidden

    with pytest.raises(TrainerError) as caught:
        Bucket(uri, role).probe() if role == "output" else find_source(uri, role, {})

    assert (caught.value.exit_code, caught.value.reason) == (code, reason)
    assert hint in (caught.value.hint or "")
