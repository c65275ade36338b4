"""An output on this machine: its markers, and its folders of checkpoints."""

from pathlib import Path

import pytest

from finetune_trainer.storage.folder import FileEntry
from finetune_trainer.storage.local_output import LocalOutput


@pytest.fixture
def output(tmp_path: Path) -> LocalOutput:
    return LocalOutput(f"file://{tmp_path}", tmp_path)


def test_a_marker_is_created_once_written_over_and_removed(output: LocalOutput) -> None:
    contents = [output.read_marker("run.json")]
    output.create_marker("run.json", b"first")
    output.create_marker("run.json", b"second")
    contents.append(output.read_marker("run.json"))
    output.write_marker("run.json", b"third")
    contents.append(output.read_marker("run.json"))
    output.remove_marker("run.json")

    assert contents == [None, b"first", b"third"]
    assert list(output.path.iterdir()) == []


def test_what_is_named_as_a_checkpoint_is_listed_by_name(output: LocalOutput) -> None:
    for name in ("step-000002", "step-000001", "step-000001.bak", ".partial-1"):
        (output.checkpoints / name).mkdir(parents=True)

    assert [folder.path.name for folder in output.checkpoint_folders()] == ["step-000001", "step-000002"]


def test_what_is_below_the_output_has_its_uri_and_is_shown_by_its_path(output: LocalOutput) -> None:
    assert output.uri_of(output.path) == output.uri
    assert output.uri_of(output.model) == f"{output.uri}/model"
    assert output.shown(output.model) == f"{output.path}/model"


def test_the_trash_takes_a_deleted_folder_and_leaves_no_copy(output: LocalOutput) -> None:
    folder, trash = output.checkpoints / "step-000001", output.checkpoints / ".partial-1"
    folder.mkdir(parents=True)
    trash.mkdir()
    (folder / "model.bin").write_bytes(b"weights")

    deleted = output.delete(folder, trash)

    assert (deleted, folder.exists(), list(trash.iterdir())) == (True, False, [])


def test_a_folder_is_checked_to_the_last_byte(output: LocalOutput) -> None:
    folder = output.checkpoints / "step-000001"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"abc")
    entry = FileEntry(sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", size=3)
    listed = output.checkpoint_folders()[0]

    problems = [listed.check({"a": entry}), listed.check({"a": entry, "b": entry})]
    (folder / "a").write_bytes(b"abd")
    problems.append(listed.check({"a": entry}))

    assert problems == ["", "b is missing", "a has another SHA-256 than its manifest says"]


def test_a_file_that_grows_can_be_read_on_by_whoever_has_it_open_and_a_folder_can_be_emptied(
    output: LocalOutput,
) -> None:
    output.grow_file("tensorboard/events.1", b"one")
    with (output.path / "tensorboard" / "events.1").open("rb") as reader:
        before = reader.read()
        output.grow_file("tensorboard/events.1", b"one and two")
        after = reader.read()
    other = output.path / "tensorboard" / "plugins"  # as TensorBoard's profiler makes one
    other.mkdir()
    output.remove_files("tensorboard")

    assert (before, after, list((output.path / "tensorboard").iterdir())) == (b"one", b" and two", [other])
