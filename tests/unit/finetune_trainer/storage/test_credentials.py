"""Credentials: what each kind of place gets from its Secret, and what is said where the Secret lacks something."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from finetune_api.report import ENV_SECRETS, ENV_TOKEN, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.redaction import redact
from finetune_trainer.storage.credentials import (
    Role,
    check_tracker_credentials,
    hub_token,
    remember_secrets,
    storage_options,
    tracker_credentials,
)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    google = "GOOGLE_APPLICATION_CREDENTIALS_JSON"
    for name in ("AWS_REGION", "AWS_MAX_ATTEMPTS", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", google):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path))
    return tmp_path


def mount(secrets: Path, role: Role | Literal["tracking"], values: dict[str, str]) -> None:
    (secrets / role).mkdir()
    for name, value in values.items():
        (secrets / role / name).write_text(value)


KEY_FILE = {"type": "service_account", "project_id": "p", "private_key": "-----BEGIN PRIVATE KEY-----\nxxxxxxxx\n"}


@pytest.mark.parametrize(
    ("scheme", "values", "options"),
    [
        (
            "s3",
            {
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "secret\n",
                "AWS_SESSION_TOKEN": "token",
                "AWS_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL": "https://minio:9000",
            },
            {
                "key": "id",
                "secret": "secret",
                "token": "token",
                "client_kwargs": {"region_name": "eu-west-1"},
                "endpoint_url": "https://minio:9000",
            },
        ),
        ("s3", {"AWS_ENDPOINT_URL": "http://minio"}, {"endpoint_url": "http://minio"}),
        (
            "gs",
            {"GOOGLE_APPLICATION_CREDENTIALS_JSON": json.dumps(KEY_FILE)},
            {"token": KEY_FILE, "session_kwargs": {"trust_env": True}},
        ),
        ("az", {"AZURE_STORAGE_CONNECTION_STRING": "A=b;AccountKey=c"}, {"connection_string": "A=b;AccountKey=c"}),
        (
            "az",
            {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": "key"},
            {"account_name": "acc", "account_key": "key"},
        ),
        (
            "az",
            {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x"},
            {"account_name": "acc", "sas_token": "sv=1&sig=x"},
        ),
    ],
)
def test_a_secret_becomes_the_options_of_the_file_system(
    secrets: Path, scheme: str, values: dict[str, str], options: dict[str, Any]
) -> None:
    mount(secrets, "output", values)

    found = storage_options(scheme, "output")

    tuning = ("max_concurrency", "default_block_size", "config_kwargs")
    assert {name: value for name, value in found.items() if name not in tuning} == options


@pytest.mark.parametrize(
    ("scheme", "values", "message"),
    [
        ("s3", {"AWS_ACCESS_KEY_ID": "id"}, "the Secret of dataset.secretRef lacks AWS_SECRET_ACCESS_KEY"),
        ("s3", {"password": "x"}, "the Secret of dataset.secretRef has no key for s3://, such as AWS_ACCESS_KEY_ID"),
        ("gs", {"GOOGLE_APPLICATION_CREDENTIALS_JSON": "{secret"}, "in the Secret of dataset.secretRef is not JSON"),
        ("az", {"AZURE_STORAGE_KEY": "x"}, "the Secret of dataset.secretRef lacks AZURE_STORAGE_ACCOUNT"),
        ("az", {"AZURE_STORAGE_SAS_TOKEN": "x"}, "the Secret of dataset.secretRef lacks AZURE_STORAGE_ACCOUNT"),
    ],
)
def test_a_secret_that_lacks_something_is_reported_with_its_field_and_without_its_values(
    secrets: Path, scheme: str, values: dict[str, str], message: str
) -> None:
    mount(secrets, "dataset", values)

    with pytest.raises(TrainerError) as caught:
        storage_options(scheme, "dataset")

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.BAD_CONFIGURATION, "SecretIncomplete")
    assert message in caught.value.message
    assert "{secret" not in caught.value.message
    assert caught.value.hint


def test_without_a_secret_each_library_looks_by_itself(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage_options("gs", "model").keys() == {"session_kwargs"}
    assert storage_options("az", "model") == {}
    assert storage_options("s3", "model").keys() == {"max_concurrency", "default_block_size", "config_kwargs"}
    assert hub_token("model") is None

    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acc")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "key")
    assert storage_options("s3", "model")["client_kwargs"] == {"region_name": "eu-central-1"}
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS_JSON", json.dumps(KEY_FILE))
    assert storage_options("az", "model") == {"account_name": "acc", "account_key": "key"}
    assert storage_options("gs", "model")["token"] == KEY_FILE


def test_a_secret_for_one_of_two_trackers_is_enough_where_the_other_needs_none(secrets: Path) -> None:
    mount(secrets, "tracking", {"TRACKIO_WRITE_TOKEN": "sesame"})

    check_tracker_credentials(["mlflow", "trackio"])

    assert tracker_credentials("mlflow") == {}
    assert tracker_credentials("trackio") == {"TRACKIO_WRITE_TOKEN": "sesame"}
    with pytest.raises(TrainerError, match=r"the Secret of tracking\.secretRef has no key for a tracker"):
        check_tracker_credentials(["mlflow"])


def test_the_token_of_the_hub_in_a_pods_environment_goes_to_no_space(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_profile")

    assert tracker_credentials("trackio") == {"HF_TOKEN": "hf_of_the_profile"}  # on a machine of one's own

    monkeypatch.setenv(ENV_TOKEN, "/run/token")
    assert tracker_credentials("trackio") == {}


def test_each_role_has_its_own_secret(secrets: Path) -> None:
    mount(secrets, "model", {"HF_TOKEN": "hf_of_the_model"})
    mount(secrets, "dataset", {"HF_TOKEN": "hf_of_the_data"})

    assert (hub_token("model"), hub_token("dataset"), hub_token("output")) == (
        "hf_of_the_model",
        "hf_of_the_data",
        None,
    )


def test_secrets_of_files_and_of_the_environment_are_kept_out_of_messages_from_the_start(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(secrets, "output", {"AWS_SECRET_ACCESS_KEY": "from-the-secret", "AWS_REGION": "mars-north-1"})
    monkeypatch.setenv("HF_TOKEN", "from-the-environment")

    remember_secrets()

    assert redact("from-the-secret from-the-environment mars-north-1") == "*** *** mars-north-1"


def test_paths_that_the_operator_names_are_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "a-volume-with-the-output-of-a-job"
    monkeypatch.setenv("FINETUNE_TOKENS", str(volume / ".tokens"))

    remember_secrets()

    assert redact(f"model: {volume / 'model'}") == f"model: {volume / 'model'}"


def test_every_value_of_a_secret_is_known_to_the_redaction_under_whatever_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        name: f"value-of-{name}-kept-to-itself"
        for name in ("odd.key", "ANY_NAME", "nested", "LOTTERY_NUMBER", "MY_TOKEN")
    }
    (tmp_path / "secrets" / "model").mkdir(parents=True)
    (tmp_path / "secrets" / "model" / "odd.key").write_text(values["odd.key"])
    (tmp_path / "volume" / "..data").mkdir(parents=True)
    (tmp_path / "volume" / "..data" / "nested").write_bytes(values["nested"].encode() + b"\xff\n")
    (tmp_path / "volume" / "ANY_NAME").write_text(values["ANY_NAME"])
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))
    monkeypatch.setenv("FINETUNE_SECRET_PATHS", f"{tmp_path}/none:{tmp_path}/volume")
    monkeypatch.setenv("FINETUNE_SECRET_VARIABLES", "LOTTERY_NUMBER,OTHER")
    monkeypatch.setenv("LOTTERY_NUMBER", values["LOTTERY_NUMBER"])
    monkeypatch.setenv("MY_TOKEN", values["MY_TOKEN"])
    monkeypatch.setenv("PLAIN", "nothing to hide")

    remember_secrets()

    for name, value in values.items():
        assert redact(f"{name}: {value}") in (f"{name}: ***", f"{name}: ***\ufffd")
    assert redact("nothing to hide") == "nothing to hide"
