"""Checkpoints are complete or absent, at whatever moment the process dies."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.storage.local_output import LocalOutput

RUN = {"configDigest": "sha256:1", "jobUid": None}


def opened(folder: Path, keep: int = 3, run: dict[str, Any] = RUN) -> CheckpointStore:
    store = CheckpointStore(LocalOutput(f"file://{folder}", folder), run, keep)
    store.find()
    store.begin()
    return store


def publish(store: CheckpointStore, step: int, content: bytes = b"weights") -> None:
    written = store.scratch / f"checkpoint-{step}"
    (written / "sub").mkdir(parents=True)
    (written / "model.bin").write_bytes(content)
    (written / "sub" / "state.bin").write_bytes(b"state")
    store.publish(written, step, step / 10)


def steps(store: CheckpointStore) -> list[int]:
    return [checkpoint.step for checkpoint in store.saved]


def test_a_published_checkpoint_verifies(tmp_path: Path) -> None:
    store = opened(tmp_path)
    publish(store, 125)

    found = opened(tmp_path).saved

    assert found == store.saved
    assert (found[0].path, found[0].epoch) == (tmp_path / "checkpoints" / "step-000125", 12.5)
    assert found[0].size_bytes == sum(path.stat().st_size for path in found[0].path.rglob("*") if path.is_file())


def test_a_checkpoint_that_only_another_machine_has_is_reported_with_the_remedy(tmp_path: Path) -> None:
    store = opened(tmp_path)
    publish(store, 125)
    (tmp_path / "checkpoints" / "step-000125").rename(tmp_path / "checkpoints" / "elsewhere")

    with pytest.raises(TrainerError) as caught:
        store.fetch_newest()

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.OUTPUT, "CheckpointNotHere")
    assert "a volume that all of them mount" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: (path / "model.bin").write_bytes(b"WEIGHTS"), "model.bin has another SHA-256"),
        (lambda path: (path / "model.bin").write_bytes(b""), "model.bin has another size"),
        (lambda path: (path / "sub" / "state.bin").unlink(), "state.bin is missing"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda path: (path / "manifest.json").write_text("{}"), "it cannot be read"),
    ],
)
def test_a_broken_checkpoint_is_passed_over_for_an_older_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Any, problem: str
) -> None:
    store = opened(tmp_path)
    publish(store, 1)
    publish(store, 2)
    spoil(tmp_path / "checkpoints" / "step-000002")

    found = opened(tmp_path)

    assert steps(found) == [1]
    assert f"checkpoint step-000002 is not used: {problem}" in caplog.text


def test_a_checkpoint_of_another_run_is_not_used(tmp_path: Path) -> None:
    publish(opened(tmp_path), 1)

    assert steps(opened(tmp_path, run={"configDigest": "sha256:2", "jobUid": None})) == []


def test_a_broken_checkpoint_is_replaced_by_the_same_step(tmp_path: Path) -> None:
    store = opened(tmp_path)
    publish(store, 1)
    (tmp_path / "checkpoints" / "step-000001" / "model.bin").write_bytes(b"broken")

    again = opened(tmp_path)
    publish(again, 1, b"new")

    assert (steps(again), (tmp_path / "checkpoints" / "step-000001" / "model.bin").read_bytes()) == ([1], b"new")


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    store = opened(tmp_path, keep=2)
    for step in range(1, 6):
        publish(store, step)
        store.rotate(best=store.saved[0])

    store.close()

    assert steps(store) == [1, 4, 5]
    assert sorted(path.name for path in store.folder.iterdir()) == ["step-000001", "step-000004", "step-000005"]


@pytest.mark.slow
def test_killed_at_any_moment_a_complete_checkpoint_is_left(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_while_saving.py")

    told = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True).stdout

    moments, steps_left = json.loads(told)
    assert moments > 20
    assert steps_left == [1, 2, 3]
