"""Whole runs whose output, model and data are in a bucket of a live S3 server, and what happens when it fails."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from tests.s3_server import BUCKET, S3
from tests.trainer.tiny import Ended, Settings, Train

from finetune_api.report import ENV_SECRETS, ExitCode
from finetune_trainer.progress.recorder import Recorder
from finetune_trainer.storage import uploads


@pytest.fixture
def there(s3: S3, tmp_path: Path) -> str:
    """Where in the bucket the output of this test stands."""
    return tmp_path.name


@pytest.fixture
def bucket_settings(settings: Settings, there: str) -> Settings:
    return settings | {"output": {"uri": f"s3://{BUCKET}/{there}"}}


def upload(s3: S3, folder: Path, name: str) -> None:
    for path in folder.iterdir():
        s3.write(f"{name}/{path.name}", path.read_bytes())


def move_to_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-2"))


def when_step(number: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    original = Recorder.step

    def step(self: Recorder, step: int, epoch: float) -> None:
        original(self, step, epoch)
        if step == number:
            self._checkpointing.wait()  # what was saved before is there now
            act()

    monkeypatch.setattr(Recorder, "step", step)


def stop_at(number: int, settings: Settings, train: Train) -> Ended:
    with pytest.MonkeyPatch.context() as monkeypatch:
        when_step(number, lambda: os.kill(os.getpid(), signal.SIGTERM), monkeypatch)
        return train(settings)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_run_stopped_on_one_machine_ends_on_another_as_if_on_a_disk_and_shows_no_secret(
    s3: S3,
    there: str,
    bucket_settings: Settings,
    settings: Settings,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = train(settings)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-right-one")
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))
    (tmp_path / "secrets" / "output").mkdir(parents=True)
    for name, value in s3.variables.items():
        (tmp_path / "secrets" / "output" / name).write_text(f"{value}\n")

    stopped = stop_at(15, bucket_settings, train)
    assert (stopped.code, [checkpoint.step for checkpoint in stopped.final.checkpoints]) == (143, [12, 15])
    assert not s3.names(f"{there}/model/")
    move_to_another_machine(monkeypatch, tmp_path)
    resumed = train(bucket_settings)

    assert (resumed.code, resumed.final.resumed_from_step) == (0, 15)
    assert resumed.final.evaluations == whole.final.evaluations
    assert [checkpoint.uri for checkpoint in resumed.final.checkpoints] == [
        f"s3://{BUCKET}/{there}/checkpoints/step-{step:06d}" for step in (12, 15, 24)
    ]
    assert whole.final.model is not None
    assert resumed.final.model == whole.final.model.model_copy(update={"uri": f"s3://{BUCKET}/{there}/model"})
    assert s3.read(f"{there}/model/model.safetensors") == (tmp_path / "out/model/model.safetensors").read_bytes()
    assert {name.split("/")[1] for name in s3.names(f"{there}/")} == {
        "checkpoints",
        "history.jsonl",
        "logs",
        "model",
        "run.json",
    }
    logs = [s3.read(str(ended.final.log).removeprefix(f"s3://{BUCKET}/")).decode() for ended in (stopped, resumed)]
    assert "stopped; the same command goes on from step 15" in logs[0]
    assert "resuming from step 15 of 24" in logs[1]
    assert logs[1].endswith(
        f"model:       s3://{BUCKET}/{there}/model\ncheckpoints: s3://{BUCKET}/{there}/checkpoints (steps 12, 15, 24)\n"
    )
    assert files_below(tmp_path / "machine-2" / "finetune" / "outputs") == []
    everything = [s3.read(name) for name in s3.names(there)] + [
        path.read_bytes() for path in files_below(tmp_path) if tmp_path / "secrets" not in path.parents
    ]
    told = stopped.said + resumed.said
    for secret in (s3.secret, s3.key):
        assert secret not in told
        assert not any(secret.encode() in content for content in everything)


@pytest.mark.slow
def test_model_and_data_come_from_a_bucket_and_the_exported_model_can_be_loaded(
    s3: S3,
    there: str,
    bucket_settings: Settings,
    settings: Settings,
    train: Train,
    model: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    upload(s3, model, f"{there}-model")
    upload(s3, data, f"{there}-data")
    once = settings | {"training": {"epochs": 0.1}}
    local = train(once)

    remote = train(
        once
        | {"output": bucket_settings["output"], "model": {"source": f"s3://{BUCKET}/{there}-model"}}
        | {"dataset": settings["dataset"] | {"source": f"s3://{BUCKET}/{there}-data"}}
    )

    assert (remote.code, remote.final.metrics) == (0, local.final.metrics)
    assert local.final.provenance is not None
    assert remote.final.provenance is not None
    assert remote.final.provenance.model_revision == local.final.provenance.model_revision
    assert remote.final.provenance.dataset_fingerprint == local.final.provenance.dataset_fingerprint
    for name in s3.names(f"{there}/model/"):
        (tmp_path / "loaded").mkdir(exist_ok=True)
        (tmp_path / "loaded" / name.rpartition("/")[2]).write_bytes(s3.read(name))
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "loaded")
    assert loaded.config.id2label == {0: "bad", 1: "good"}


def wrong_keys(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-wrong-wrong")


def no_keys(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


def all_well(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def forbidden(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.proxy.answer("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")


def a_model(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.write("base/", b"")
    s3.write("base/minilm/config.json", b"{}")
    s3.write("base/words", b"a")


def dead(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.proxy.die()


@pytest.mark.parametrize(
    ("arrange", "field", "uri", "code", "reason", "message"),
    [
        (wrong_keys, "output", "models/x", ExitCode.OUTPUT, "CredentialsRefused", "the credentials are refused"),
        (wrong_keys, "model", "models/x", ExitCode.MODEL, "CredentialsRefused", "the credentials are refused"),
        (wrong_keys, "dataset", "models/x", ExitCode.DATA, "CredentialsRefused", "the credentials are refused"),
        (
            no_keys,
            "dataset",
            "models/x",
            ExitCode.DATA,
            "CredentialsMissing",
            "asks for credentials, and none are given",
        ),
        (forbidden, "output", "models/x", ExitCode.OUTPUT, "AccessDenied", "may not be written with these"),
        (forbidden, "dataset", "models/x", ExitCode.DATA, "AccessDenied", "may not be read with these"),
        (all_well, "output", "none/x", ExitCode.OUTPUT, "BucketNotFound", "there is no bucket 'none'"),
        (all_well, "model", "none/x", ExitCode.MODEL, "BucketNotFound", "there is no bucket 'none'"),
        (all_well, "model", "models/no", ExitCode.MODEL, "ModelNotFound", "there is nothing"),
        (
            a_model,
            "model",
            "models/base/minilmm",
            ExitCode.MODEL,
            "ModelNotFound",
            "there is nothing; s3://models/base has minilm, words; did you mean 'minilm'?",
        ),
        (all_well, "dataset", "models/no", ExitCode.DATA, "DatasetNotFound", "there is nothing"),
        (dead, "output", "models/x", ExitCode.INTERNAL, "StorageUnreachable", "cannot be reached"),
        (dead, "dataset", "models/x", ExitCode.INTERNAL, "StorageUnreachable", "cannot be reached"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_reported_before_training_with_the_field_and_a_remedy(
    s3: S3,
    settings: Settings,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    arrange: Callable[[S3, pytest.MonkeyPatch], None],
    field: str,
    uri: str,
    code: ExitCode,
    reason: str,
    message: str,
) -> None:
    key = "uri" if field == "output" else "source"
    arrange(s3, monkeypatch)

    ended = train(settings | {field: settings[field] | {key: f"s3://{uri}"}})

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.reason) == (code, reason)
    assert failure.message.startswith(f"{field}.{key} s3://{uri}")
    assert message in failure.message
    assert failure.hint


@pytest.mark.slow
def test_training_goes_on_while_the_server_is_away_and_the_upload_is_made_up_for(
    s3: S3, there: str, bucket_settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    warn = uploads.logger.warning

    def warn_and_recover(text: str, *values: object) -> None:
        warn(text, *values)
        s3.proxy.work()

    monkeypatch.setattr(uploads.logger, "warning", warn_and_recover)
    when_step(12, lambda: s3.proxy.die(after=20_000), monkeypatch)

    ended = train(bucket_settings)

    assert ended.code == 0
    assert "the checkpoint of step 12 cannot be uploaded yet, trying again" in ended.said
    assert [checkpoint.step for checkpoint in ended.final.checkpoints] == [12, 24]
    assert f"{there}/checkpoints/step-000012/manifest.json" in s3.names(there)


@pytest.mark.slow
def test_a_server_that_dies_in_mid_upload_costs_the_steps_since_the_last_whole_checkpoint_and_no_more(
    s3: S3,
    there: str,
    bucket_settings: Settings,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    with pytest.MonkeyPatch.context() as for_one_run:
        when_step(24, lambda: s3.proxy.die(after=40_000), for_one_run)
        failed = train(bucket_settings)
    assert (failed.code, failed.final.failure and failed.final.failure.reason) == (1, "StorageUnreachable")
    assert [checkpoint.step for checkpoint in failed.final.checkpoints] == [12]
    half = set(s3.names(f"{there}/checkpoints/step-000024/"))
    assert half
    assert f"{there}/checkpoints/step-000024/manifest.json" not in half
    s3.proxy.work()
    move_to_another_machine(monkeypatch, tmp_path)

    resumed = train(bucket_settings)

    assert (resumed.code, resumed.final.resumed_from_step) == (0, 12)
    assert "checkpoint step-000024 is not used: manifest.json is missing" in resumed.said
    assert [checkpoint.step for checkpoint in resumed.final.checkpoints] == [12, 24]
