"""Output in a repository of the Hub: one commit for each checkpoint and model."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from tests.trainer.hub_server import READER, TOKEN, HubServer
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ENV_SECRETS, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage import uploads
from finetune_trainer.storage.hub import HubRepository
from finetune_trainer.storage.remote_output import RemoteOutput


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A stand-in for the Hub; the output's Secret has the token of an account that may write."""
    server = HubServer()
    # The library reads its variables when it is imported. Xet's protocol is not spoken here: large files go over LFS.
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-1"))
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))
    use_token(tmp_path, TOKEN)
    close_session()
    yield server
    close_session()
    server.shutdown()
    server.server_close()


def use_token(tmp_path: Path, token: str) -> None:
    (tmp_path / "secrets" / "output").mkdir(parents=True, exist_ok=True)
    (tmp_path / "secrets" / "output" / "HF_TOKEN").write_text(token)


@pytest.mark.slow
def test_a_run_makes_a_private_repository_with_the_model_at_its_top(
    hub: HubServer, settings: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = train(settings)
    to_hub = settings | {"output": {"uri": "hf://team/stars"}}

    ended = train(to_hub)

    repository = hub.repositories["team/stars"]
    assert (ended.code, repository.private) == (0, True)
    assert local.final.model is not None
    assert ended.final.model == local.final.model.model_copy(update={"uri": "hf://team/stars"})
    assert ended.final.checkpoints[-1].uri == "hf://team/stars/checkpoints/step-000024"
    exported = {path.name: path.read_bytes() for path in (tmp_path / "out" / "model").iterdir()}
    assert {name: content for name, content in repository.files.items() if name in exported} == exported
    titles = [title for title, written, deleted in repository.commits]
    assert titles[-1].startswith("Write logs/")
    assert [title for title in titles[:-1] if title != "Write history.jsonl"] == [
        "Write run.json",
        "Write checkpoints/step-000012",
        "Write checkpoints/step-000024",
        "Write the model",
    ]
    step_24 = next(written for title, written, deleted in repository.commits if title.endswith("24"))
    assert {"history.jsonl", "checkpoints/step-000024/manifest.json"} <= set(step_24)
    assert TOKEN not in ended.said
    assert not any(TOKEN.encode() in content for content in repository.files.values())

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-2"))
    again = train(to_hub)
    assert (again.code, again.final.resumed_from_step, again.final.model) == (0, 24, ended.final.model)


@pytest.mark.parametrize(
    ("token", "reason", "message"),
    [
        (READER, "AccessDenied", "output.uri hf://team/stars may not be written with these credentials"),
        ("hf_NoToken0123456789012", "CredentialsRefused", "output.uri hf://team/stars: the credentials are refused"),
    ],
)
def test_a_token_that_may_not_write_is_reported_before_training(
    hub: HubServer, settings: Settings, train: Train, tmp_path: Path, token: str, reason: str, message: str
) -> None:
    use_token(tmp_path, token)

    ended = train(settings | {"output": {"uri": "hf://team/stars"}})

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.reason) == (ExitCode.OUTPUT, reason)
    assert failure.message.startswith(message)
    assert "HF_TOKEN in the Secret that output.secretRef names" in (failure.hint or "")
    assert token not in ended.said


def test_a_new_model_takes_the_place_of_the_old_one_and_leaves_what_is_not_a_model(
    hub: HubServer, tmp_path: Path
) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    hub.repositories["team/stars"].files["README.md"] = b"old"
    for name in ("old.safetensors", "config.json", "checkpoints/step-000001/manifest.json"):
        place.write(name, b"old")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("new")
    (tmp_path / "model" / "new.safetensors").write_text("new")

    RemoteOutput(place, tmp_path).publish_models()

    assert hub.repositories["team/stars"].files == {
        "README.md": b"old",
        "checkpoints/step-000001/manifest.json": b"old",
        "config.json": b"new",
        "new.safetensors": b"new",
    }
    assert hub.repositories["team/stars"].commits[-1] == (
        "Write the model",
        ["config.json", "new.safetensors"],
        ["old.safetensors"],
    )


def test_a_marker_is_only_made_where_there_is_none(hub: HubServer) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()

    place.create("run.json", b"mine")
    place.create("run.json", b"yours")

    assert (place.read("run.json"), place.read("none.json")) == (b"mine", None)


def test_what_is_removed_goes_in_one_commit(hub: HubServer, tmp_path: Path) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    (tmp_path / "file").write_text("x")
    place.put({"checkpoints/a/x.pt": tmp_path / "file", "checkpoints/a/manifest.json": tmp_path / "file"}, "a")

    place.remove(list(place.entries("checkpoints/a")), first="checkpoints/a/manifest.json")

    assert hub.repositories["team/stars"].commits[-1] == (
        "Delete checkpoints/a",
        [],
        ["checkpoints/a/manifest.json", "checkpoints/a/x.pt"],
    )


def test_a_commit_that_is_refused_is_reported_as_such(hub: HubServer) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    hub.refuse_commits = 400
    with pytest.raises(TrainerError) as refused:
        place.write("x", b"x")
    hub.refuse_commits = 403
    with pytest.raises(TrainerError) as denied:
        place.write("x", b"x")

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.OUTPUT, "StorageFailed")
    assert (denied.value.exit_code, denied.value.reason) == (ExitCode.OUTPUT, "AccessDenied")


def saved(folder: Path) -> Path:
    path = folder / "checkpoints" / "step-000001"
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


@pytest.mark.parametrize("status", [400, 409, 412, 520])
def test_a_commit_that_is_refused_while_the_run_goes_on_is_tried_again(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    checkpoint = saved(tmp_path)
    (tmp_path / "history.jsonl").write_text("one line\n")
    monkeypatch.setattr(uploads, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(uploads.logger, "warning", lambda *said: setattr(hub, "refuse_commits", 0))
    hub.refuse_commits = status

    RemoteOutput(place, tmp_path).upload(checkpoint)

    assert hub.repositories["team/stars"].files == {
        "checkpoints/step-000001/manifest.json": b"{}",
        "history.jsonl": b"one line\n",
    }


def test_what_is_refused_for_too_long_is_for_the_next_attempt(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    monkeypatch.setattr(uploads, "FLUSH_SECONDS", 0.0)
    hub.refuse_commits = 400

    with pytest.raises(TrainerError) as caught:
        RemoteOutput(place, tmp_path).upload(saved(tmp_path))

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "StorageFailed")


def test_the_history_waits_until_a_checkpoint_is_committed(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    checkpoint, put = saved(tmp_path), HubRepository.put
    (tmp_path / "history.jsonl").write_text("older\n")
    output = RemoteOutput(place, tmp_path)

    def put_while_the_history_grows(self: HubRepository, *arguments: Any, **named: Any) -> None:
        (tmp_path / "history.jsonl").write_text("newer\n")
        output.history_changed()
        time.sleep(0.2)  # enough for the history to overtake, if it could
        put(self, *arguments, **named)

    monkeypatch.setattr(HubRepository, "put", put_while_the_history_grows)
    output.upload(checkpoint)
    output.publish_models()

    titles = [title for title, written, deleted in hub.repositories["team/stars"].commits]
    assert titles[0] == "Write checkpoints/step-000001"
    assert hub.repositories["team/stars"].files["history.jsonl"] == b"newer\n"


def test_a_hub_that_is_away_is_never_taken_for_a_file_that_is_not_there(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = HubRepository("hf://team/stars")
    place.probe()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(TrainerError) as caught:
        place.read("run.json")

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "StorageUnreachable")
