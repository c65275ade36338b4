"""What is read as a model or data set is shown; so nothing that leads to a Secret is read, by whatever path."""

from pathlib import Path

import pytest

from finetune_api.report import ENV_RUN_SECRET, ENV_SECRET_PATHS, ENV_SECRETS, ENV_TOKEN, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.credentials import Role
from finetune_trainer.storage.download import find_source


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system with Secrets as Kubernetes mounts them, and a volume of the user's."""
    for place in ("credentials/output", "run", "token", "keys/..data"):
        (tmp_path / place).mkdir(parents=True)
    for file in ("credentials/output/key.csv", "run/key.csv", "token/token", "keys/..data/train.csv"):
        (tmp_path / file).write_text("hunter2,label")
    (tmp_path / "keys/train.csv").symlink_to("..data/train.csv")
    (tmp_path / "volume/rows").mkdir(parents=True)
    (tmp_path / "volume/rows/train.csv").write_text("text,label")
    (tmp_path / "volume/train.csv").symlink_to("rows/train.csv")
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "credentials"))
    monkeypatch.setenv(ENV_RUN_SECRET, str(tmp_path / "run/key.csv"))
    monkeypatch.setenv(ENV_TOKEN, str(tmp_path / "token/token"))
    monkeypatch.setenv(ENV_SECRET_PATHS, f"{tmp_path}/keys:{tmp_path}/elsewhere")
    return tmp_path


@pytest.mark.parametrize("role", ["model", "dataset"])
@pytest.mark.parametrize(
    "path",
    ["keys/train.csv", "keys", "", "volume/../keys/train.csv", "credentials/output/key.csv", "run/key.csv", "token"],
)
def test_no_source_is_in_or_above_a_secret(pod: Path, path: str, role: Role) -> None:
    with pytest.raises(TrainerError) as refused:
        find_source(f"file://{pod}/{path}", role, {})

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.BAD_CONFIGURATION, "SecretAsSource")
    assert refused.value.message.startswith(f"{role}.source file://{pod}/{path}: ")


@pytest.mark.parametrize("source", ["file:///proc/self/environ", "file:///dev/fd", "file:///"])
def test_no_source_shows_the_environment_of_a_process(pod: Path, source: str) -> None:
    with pytest.raises(TrainerError, match="leads to a Secret"):
        find_source(source, "dataset", {})


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("key.csv", "{pod}/keys/train.csv"),
        ("rows/key.csv", "../../credentials/output/key.csv"),
        ("rows/all", "{pod}"),
        ("rows/environ.csv", "/proc/self/environ"),
        ("rows/later.csv", "{pod}/elsewhere"),
    ],
)
def test_no_link_on_a_volume_leads_to_a_secret(pod: Path, link: str, target: str) -> None:
    (pod / "volume" / link).symlink_to(target.format(pod=pod))

    with pytest.raises(TrainerError, match=f"/{link} leads to a Secret"):
        find_source("pvc://data", "dataset", {"data": pod / "volume"})


def test_a_link_behind_a_link_is_seen_and_links_in_a_circle_end(pod: Path) -> None:
    (pod / "volume/rows/more").symlink_to("../../other")
    (pod / "other").mkdir()
    (pod / "other/back").symlink_to("../volume/rows")
    found = find_source("pvc://data/rows", "dataset", {"data": pod / "volume"})
    (pod / "other/train.csv").symlink_to("../keys/train.csv")

    with pytest.raises(TrainerError, match=r"/more/train\.csv leads to a Secret"):
        find_source("pvc://data/rows", "dataset", {"data": pod / "volume"})

    assert found == pod / "volume/rows"


@pytest.mark.parametrize("path", ["volume", "volume/train.csv", "volume/rows", "volume/nothing"])
def test_data_beside_secrets_and_links_to_it_are_read(pod: Path, path: str) -> None:
    assert find_source(f"file://{pod}/{path}", "dataset", {}) == pod / path
