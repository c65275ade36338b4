"""Whether there is anything to keep on the volume that the operator made for a job."""

from pathlib import Path

import pytest

from finetune_trainer.storage.own_volume import own_volume_is_empty

WORTH_NOTHING = (
    "run.json",
    "adjustment.json",
    "history.jsonl",
    "logs/20261120T120020.000000Z-yelp-1.log",
    ".downloads/index.json",
    ".downloads.partial/files/hub/a",
    ".tokens/a.arrow",
    "lost+found/a",
    "checkpoints/.partial-1/model.safetensors",
    ".export-1/model.safetensors",
    "runs/2/run.json",
    "runs/2/checkpoints/.partial-1/model.safetensors",
)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUNE_OWN_VOLUME", str(tmp_path))
    for name in WORTH_NOTHING:
        put(tmp_path / name)
    return tmp_path


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def test_what_is_unfinished_or_can_be_had_again_is_nothing_to_keep(volume: Path) -> None:
    assert own_volume_is_empty()


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/step-000125/manifest.json",
        "model/config.json",
        "adapter/adapter_config.json",
        "notes.txt",
        "runs/2/model/config.json",
        "runs/2/checkpoints/step-000001/manifest.json",
    ],
)
def test_a_checkpoint_a_model_or_anything_unknown_is_kept(volume: Path, name: str) -> None:
    put(volume / name)

    assert not own_volume_is_empty()


def test_a_volume_that_is_not_the_jobs_own_is_never_called_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINETUNE_OWN_VOLUME", raising=False)

    assert not own_volume_is_empty()


def test_a_volume_that_cannot_be_read_is_never_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_OWN_VOLUME", str(tmp_path / "gone"))

    assert not own_volume_is_empty()
