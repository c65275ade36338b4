"""What attempts of a job hand to each other on its volume: complete and as it came, or not there; and never at the cost of its outputs."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from finetune_api.report import ENV_DOWNLOADS
from finetune_trainer.storage import kept_downloads

WEIGHTS, LINK = "models--org--bert/blobs/0123", "models--org--bert/snapshots/abc/model.safetensors"
PLENTY = 1000


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's own, with `free` bytes free."""
    folder = tmp_path / "volume"
    folder.mkdir()
    monkeypatch.setenv(ENV_DOWNLOADS, str(folder / ".downloads"))
    monkeypatch.setattr(kept_downloads, "_copying", None)
    free(monkeypatch, PLENTY)
    return folder


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a pod with nothing on its disk, and returns that."""

    def made(name: str) -> Path:
        scratch = tmp_path / name
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(scratch / "hub"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(scratch / "cache"))
        monkeypatch.setattr(kept_downloads, "_copying", None)
        return scratch

    return made


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))


def download(scratch: Path) -> None:
    """A model of the Hub, a source of a bucket, and what is of no use to another attempt: 30 bytes are."""
    hub, sources = scratch / "hub", scratch / "cache/finetune/sources"
    for path, content in (
        (hub / WEIGHTS, "weights of 20 bytes."),
        (hub / "models--org--bert/blobs/4567.89.incomplete", "half"),
        (hub / ".locks/models--org--bert/0123.lock", ""),
        (sources / "cdef/train.csv", "ten bytes."),
        (sources / "cdef.lock", ""),
        (sources / "0000.partial/train.csv", "half"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (hub / LINK).parent.mkdir(parents=True)
    (hub / LINK).symlink_to("../../blobs/0123")


def leave(reserved: int = 0) -> None:
    kept_downloads.leave(reserved)
    kept_downloads.finish()


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_attempt_has_what_the_one_before_has_downloaded(volume: Path, pod: Callable[[str], Path]) -> None:
    download(pod("first"))
    leave()
    second = pod("second")

    kept_downloads.fetch()

    # The copy of a bucket is taken for complete only once it has been compared with the bucket.
    assert files_of(second) == ["cache/finetune/sources/cdef.partial/train.csv", f"hub/{WEIGHTS}", f"hub/{LINK}"]
    assert (second / "hub" / LINK).read_text() == "weights of 20 bytes."
    assert (second / "hub" / LINK).is_symlink()
    assert [path.name for path in volume.iterdir()] == [".downloads"]


@pytest.mark.parametrize(
    ("size", "reserved", "kept"),
    [(120, 0, True), (119, 0, False), (120, 90, True), (120, 91, False)],
    ids=["a quarter is free", "less is free", "outputs fit beside them", "outputs would not fit"],
)
def test_a_small_volume_keeps_its_room_for_the_outputs(
    volume: Path, pod: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, size: int, reserved: int, kept: bool
) -> None:
    download(pod("first"))
    free(monkeypatch, size)

    leave(reserved)

    assert [path.name for path in volume.iterdir()] == ([".downloads"] if kept else [])


def test_a_volume_that_is_full_after_all_keeps_nothing(
    volume: Path, pod: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    download(pod("first"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    leave()

    assert list(volume.iterdir()) == []


@pytest.mark.parametrize("content", ["weights of 20 bytes!", "weights", ""], ids=["changed", "torn", "empty"])
def test_a_file_that_is_not_as_it_was_left_is_not_taken_and_all_is_left_anew(
    volume: Path, pod: Callable[[str], Path], content: str
) -> None:
    download(pod("first"))
    leave()
    (volume / ".downloads/files/hub" / WEIGHTS).write_text(content)
    second = pod("second")

    kept_downloads.fetch()
    found = files_of(second)
    shutil.rmtree(second)
    download(second)
    leave()
    third = pod("third")
    kept_downloads.fetch()

    assert found == ["cache/finetune/sources/cdef.partial/train.csv"]
    assert (third / "hub" / LINK).read_text() == "weights of 20 bytes."


def test_what_a_killed_attempt_has_half_copied_is_never_taken(volume: Path, pod: Callable[[str], Path]) -> None:
    download(pod("first"))
    leave()
    (volume / ".downloads").rename(volume / ".downloads.partial")
    second = pod("second")

    kept_downloads.fetch()
    found = files_of(second)
    download(second)
    leave()

    assert found == []
    assert [path.name for path in volume.iterdir()] == [".downloads"]


def test_names_and_links_that_lead_out_of_the_folders_of_downloads_are_not_followed(
    volume: Path, pod: Callable[[str], Path], tmp_path: Path
) -> None:
    download(pod("first"))
    leave()
    index = json.loads((volume / ".downloads/index.json").read_text())
    size_and_digest = index["files"][f"hub/{WEIGHTS}"]
    outside = ("hub/../../evil", "hub/../other/evil", "/tmp/evil", "hub", "sources/evil", "elsewhere/evil", "../evil")
    for name in outside:
        source = volume / ".downloads/files" / name
        if not name.startswith("/") and name != "hub":
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text("weights of 20 bytes.")
    index["files"] |= dict.fromkeys(outside, size_and_digest)
    index["links"] |= {"hub/a": "../../../secret", "../b": "hub/models--org--bert/blobs/0123", "hub/c": "/etc/passwd"}
    (volume / ".downloads/index.json").write_text(json.dumps(index))
    (tmp_path / "secret").write_text("secret")
    second = pod("second")

    kept_downloads.fetch()

    assert files_of(second) == ["cache/finetune/sources/cdef.partial/train.csv", f"hub/{WEIGHTS}", f"hub/{LINK}"]
    assert not [path for path in second.rglob("*") if path.name in ("evil", "a", "b", "c")]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"files": {"hub/a": 1}, "links": {}}', "\x00" * 64])
def test_an_index_that_cannot_be_read_is_none(volume: Path, pod: Callable[[str], Path], content: str) -> None:
    (volume / ".downloads").mkdir()
    (volume / ".downloads/index.json").write_text(content)
    second = pod("second")

    kept_downloads.fetch()

    assert files_of(second) == []


def test_one_process_of_a_machine_fetches(
    volume: Path, pod: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    download(pod("first"))
    leave()
    second = pod("second")
    monkeypatch.setenv("LOCAL_RANK", "1")

    kept_downloads.fetch()

    assert files_of(second) == []


def test_what_has_been_left_is_not_copied_again(volume: Path, pod: Callable[[str], Path]) -> None:
    download(pod("first"))
    leave()
    before = (volume / ".downloads").stat().st_ino
    download(pod("second"))

    leave()

    assert (volume / ".downloads").stat().st_ino == before


def test_the_end_of_the_run_deletes_them_while_they_are_being_copied_too(
    volume: Path, pod: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    download(pod("first"))
    copy = kept_downloads._copy

    def slow(source: Path, target: Path, cancelled: threading.Event) -> str:
        (volume / ".downloads.partial").mkdir(exist_ok=True)
        assert cancelled.wait(60)
        return copy(source, target, cancelled)

    monkeypatch.setattr(kept_downloads, "_copy", slow)
    kept_downloads.leave(0)

    kept_downloads.clear()

    assert list(volume.iterdir()) == []
