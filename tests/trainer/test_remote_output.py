"""What is at the place counts: checkpoints there are whole, or not there; against a live S3 server."""

import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.s3_server import S3
from tests.trainer.machines import Machine, output_at

from finetune_api.report import ENV_SECRETS, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.progress.history import History
from finetune_trainer.run.hint import clear_hint, read_hint, write_hint
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage import uploads
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.remote_output import RemoteOutput


def test_another_machine_finds_what_was_published_and_has_the_newest_at_hand(there: str, tmp_path: Path) -> None:
    first = Machine(tmp_path / "1", there).begin()
    first.publish(1)
    first.publish(2, b"newer")

    second = Machine(tmp_path / "2", there)

    assert [(c.step, c.epoch, c.digest, c.size_bytes, c.time) for c in second.store.saved] == [
        (c.step, c.epoch, c.digest, c.size_bytes, c.time) for c in first.store.saved
    ]
    assert second.here == ["step-000002"]
    assert (tmp_path / "2/checkpoints/step-000002/model.bin").read_bytes() == b"newer"
    assert second.store.fetch(second.store.saved[0])
    assert second.here == ["step-000001", "step-000002"]


def test_a_checkpoint_whose_bytes_changed_there_is_passed_over_for_an_older_one(
    s3: S3, there: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Machine(tmp_path / "1", there).begin()
    first.publish(1)
    first.publish(2)
    s3.write(f"{there}/checkpoints/step-000002/model.bin", b"WEIGHTS")

    second = Machine(tmp_path / "2", there)

    assert (second.steps, second.here) == ([1], ["step-000001"])
    assert "checkpoint step-000002 is not used: model.bin has another SHA-256 than its manifest says" in caplog.text


def test_a_checkpoint_that_comes_broken_to_one_machine_of_several_is_for_the_next_attempt(
    s3: S3, there: str, tmp_path: Path
) -> None:
    Machine(tmp_path / "1", there).begin().publish(1)
    second = Machine(tmp_path / "2", there)
    shutil.rmtree(tmp_path / "2/checkpoints/step-000001")
    s3.write(f"{there}/checkpoints/step-000001/model.bin", b"WEIGHTS")

    with pytest.raises(TrainerError) as caught:
        second.store.fetch_newest()

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "CheckpointBroken")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("manifest.json", None, "manifest.json is missing"),
        ("manifest.json", b"{}", "it cannot be read"),
        ("sub/state.bin", None, "sub/state.bin is missing"),
        ("model.bin", b"short", "model.bin has another size than its manifest says"),
    ],
)
def test_a_checkpoint_that_is_not_whole_there_is_passed_over(
    s3: S3,
    there: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes | None,
    problem: str,
) -> None:
    first = Machine(tmp_path / "1", there).begin()
    first.publish(1)
    first.publish(2)
    key = f"{there}/checkpoints/step-000002/{name}"
    s3.delete(key) if content is None else s3.write(key, content)

    second = Machine(tmp_path / "2", there).begin()
    second.publish(2, b"again")

    assert f"checkpoint step-000002 is not used: {problem}" in caplog.text
    assert Machine(tmp_path / "3", there).steps == [1, 2]
    assert s3.read(f"{there}/checkpoints/step-000002/model.bin") == b"again"


def test_a_checkpoint_of_another_run_is_not_used(there: str, tmp_path: Path) -> None:
    Machine(tmp_path / "1", there).begin().publish(1)

    assert Machine(tmp_path / "2", there, run={"configDigest": "sha256:2", "jobUid": None}).steps == []


@pytest.mark.slow
def test_the_newest_and_the_best_are_kept_there_and_here_only_what_is_needed(
    s3: S3, there: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "1", there, keep=2).begin()
    for step in range(1, 6):
        machine.publish(step)
        machine.store.rotate(best=machine.store.saved[0])
        machine.store.sweep()

    assert machine.steps == [1, 4, 5]
    assert {name.split("/")[3] for name in s3.names(f"{there}/checkpoints/")} == {
        "step-000001", "step-000004", "step-000005",
    }  # fmt: skip
    assert machine.here == ["step-000001", "step-000005"]


@pytest.mark.slow
def test_a_deletion_that_fails_costs_no_run_and_is_done_later(
    s3: S3, there: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path / "1", there, keep=1).begin()
    machine.publish(1)
    machine.publish(2)
    machine.store.rotate(best=None)
    s3.proxy.die()
    machine.store.sweep()
    assert "the checkpoint of step 1 cannot be deleted" in caplog.text

    s3.proxy.work()
    machine.store.sweep()

    assert not s3.names(f"{there}/checkpoints/step-000001/")


@pytest.mark.slow
@pytest.mark.parametrize("sent", range(2_000, 26_000, 4_000))
def test_wherever_an_upload_is_cut_the_last_whole_checkpoint_is_found(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    machine = Machine(tmp_path / "1", there).begin()
    machine.publish(1, b"old" * 1000)
    s3.proxy.die(after=sent)
    with suppress(TrainerError):
        machine.publish(2, b"new" * 3000)
    told = machine.steps
    s3.proxy.work()

    found = Machine(tmp_path / "2", there)

    # The answer to the last request may be what was cut: then the checkpoint is there though nobody was told.
    assert told in ([1], [1, 2])
    assert found.steps in ([1, 2], told)
    newest = found.store.newest
    assert newest is not None
    assert (newest.path / "model.bin").read_bytes() == (b"new" * 3000 if newest.step == 2 else b"old" * 1000)


def test_what_a_cut_upload_left_is_removed_when_the_run_goes_on(s3: S3, there: str, tmp_path: Path) -> None:
    Machine(tmp_path / "1", there).begin().publish(1)
    s3.write(f"{there}/checkpoints/step-000002/model.bin", b"half")

    Machine(tmp_path / "2", there).begin()

    assert not s3.names(f"{there}/checkpoints/step-000002/")


@pytest.mark.slow
def test_an_upload_is_tried_again_until_something_waits_for_it(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(uploads, "FIRST_PAUSE_SECONDS", 0.01)
    tries, enough = [], threading.Event()

    def count(text: str, *values: object) -> None:
        tries.append(text)
        if len(tries) == 3:
            enough.set()

    monkeypatch.setattr(uploads.logger, "warning", count)
    machine = Machine(tmp_path / "1", there).begin()
    failures: list[TrainerError] = []

    def publish() -> None:
        try:
            machine.publish(1)
        except TrainerError as error:
            failures.append(error)

    s3.proxy.die()
    machine.output.flush_requested.clear()
    saving = threading.Thread(target=publish)
    saving.start()
    assert enough.wait(60)
    assert saving.is_alive()
    machine.output.flush_requested.set()
    saving.join(60)

    assert [failure.reason for failure in failures] == ["StorageUnreachable"]
    assert machine.steps == []


def test_a_secret_that_is_renewed_while_the_run_goes_on_is_read_again(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secrets" / "output"
    secret.mkdir(parents=True)
    for name, value in s3.variables.items():
        (secret / name).write_text(value)
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))
    monkeypatch.setattr(uploads, "FIRST_PAUSE_SECONDS", 0.01)
    (secret / "AWS_SECRET_ACCESS_KEY").write_text("an-old-one-that-expired")
    monkeypatch.setattr(
        uploads.logger, "warning", lambda *said: (secret / "AWS_SECRET_ACCESS_KEY").write_text(s3.secret)
    )
    output = output_at(there, tmp_path / "1")
    output.model.mkdir(parents=True)
    (output.model / "config.json").write_text("{}")

    output.publish_models()

    assert s3.names(there) == [f"{there}/model/config.json"]


@pytest.mark.slow
def test_an_old_model_stands_until_the_new_one_is_there_in_full(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    first, second = output_at(there, tmp_path / "1"), output_at(there, tmp_path / "2")
    first.model.mkdir(parents=True)
    (first.model / "config.json").write_text("old")
    (first.model / "old.bin").write_text("old")
    first.publish_models()
    second.model.mkdir(parents=True)
    (second.model / "config.json").write_text("new")
    (second.model / "new.bin").write_bytes(b"new" * 10_000)

    s3.proxy.die(after=15_000)
    with pytest.raises(TrainerError):
        second.publish_models()
    old = {name: s3.read(name) for name in s3.names(f"{there}/model/")}
    s3.proxy.work()
    second.publish_models()

    assert old == {f"{there}/model/config.json": b"old", f"{there}/model/old.bin": b"old"}
    assert {name: s3.read(name) for name in s3.names(there)} == {
        f"{there}/model/config.json": b"new",
        f"{there}/model/new.bin": b"new" * 10_000,
    }


def test_the_history_follows_each_evaluation(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = output_at(there, tmp_path / "1")
    sent, write = threading.Event(), Bucket.write

    def write_and_tell(self: Bucket, name: str, content: bytes) -> None:
        write(self, name, content)
        sent.set()

    monkeypatch.setattr(Bucket, "write", write_and_tell)
    output.path.mkdir()
    output.history.write_text("one line\n")
    output.history_changed()
    assert sent.wait(60)
    assert s3.read(f"{there}/history.jsonl") == b"one line\n"

    output.history.write_text("one line\nthe last\n")
    output.publish_models()
    other = output_at(there, tmp_path / "2")
    other.path.mkdir()
    other.fetch_history()

    assert other.history.read_text() == "one line\nthe last\n"


@pytest.mark.parametrize("folder", ["tensorboard", "wandb/offline-run-1"])
def test_a_file_that_grows_is_there_as_it_is_now_and_a_folder_can_be_emptied(
    s3: S3, there: str, tmp_path: Path, folder: str
) -> None:
    output = output_at(there, tmp_path)
    output.grow_file(f"{folder}/events.1", b"one")
    output.grow_file(f"{folder}/events.1", b"one and two")
    grown = s3.read(f"{there}/{folder}/events.1")

    output.remove_files(folder)
    output.remove_files(folder)

    assert (grown, output._place.entries(folder)) == (b"one and two", {})


def test_an_adjustment_is_only_taken_away_when_the_history_that_has_it_is_there(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(RemoteOutput, "history_changed", lambda output: None)  # the thread that would send it is late
    output = output_at(there, tmp_path)
    fit = BatchPlan(batch_size=2, accumulation=4, evaluation_batch_size=8, activation_checkpointing=False)
    write_hint(output, fit)
    History(output.history, output.history_changed).append("adjustment", 0, 0, fit.to_numbers())

    s3.proxy.die()
    with pytest.raises(TrainerError):
        clear_hint(output)
    s3.proxy.work()
    left = read_hint(output)
    clear_hint(output)

    assert (left, read_hint(output)) == (fit, None)
    assert s3.read(f"{there}/history.jsonl") == output.history.read_bytes()
