"""What nobody has used for long leaves the shared cache; what is in use stays, whatever the volume."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_api.report import ENV_CACHE
from finetune_trainer.storage import shared_cache
from finetune_trainer.storage.shared_cache import KEPT_SECONDS, sweep, use, use_hub, use_shared_cache

HOUR = 3600.0
MODEL, ROWS, SOURCE = "hub/models--org--bert", "datasets/files/0123abcd", "sources/89ef"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENV_CACHE, str(tmp_path))
    monkeypatch.setattr(shared_cache, "_used", set())
    full(monkeypatch, free=lambda: 50.0)
    return tmp_path


@pytest.fixture
def put(cache: Path) -> Callable[[str, float], Path]:
    """Put an entry there that was used so many seconds ago."""

    def made(name: str, ago: float) -> Path:
        path, note = cache / name, cache / "used" / name
        path.mkdir(parents=True)
        (path / "file").write_text("content")
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
        os.utime(note, (time.time() - ago,) * 2)
        return path

    return made


def full(monkeypatch: pytest.MonkeyPatch, free: Callable[[], float]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=100.0, free=free()))


def test_what_nobody_used_for_two_weeks_is_deleted(put: Callable[[str, float], Path]) -> None:
    old = [put(name, KEPT_SECONDS + HOUR) for name in (MODEL, ROWS, SOURCE)]
    recent = [put(f"{name}0", KEPT_SECONDS - HOUR) for name in (MODEL, ROWS, SOURCE)]

    sweep()

    assert [path.exists() for path in old] == [False] * 3
    assert [path.exists() for path in recent] == [True] * 3


def test_a_volume_that_is_nearly_full_loses_what_was_used_least_recently(
    put: Callable[[str, float], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, older, in_use = put(MODEL, 30 * HOUR), put(ROWS, 20 * HOUR), put(SOURCE, HOUR / 2)
    full(monkeypatch, free=lambda: 10.0 if oldest.exists() else 50.0)
    sweep()
    after_the_first = [path.exists() for path in (oldest, older, in_use)]
    full(monkeypatch, free=lambda: 0.0)
    sweep()

    assert after_the_first == [False, True, True]
    assert [path.exists() for path in (oldest, older, in_use)] == [False, False, True]


def test_what_a_run_has_begun_to_use_stays(put: Callable[[str, float], Path], cache: Path) -> None:
    model, rows = put(MODEL, KEPT_SECONDS + HOUR), put(ROWS, KEPT_SECONDS + HOUR)
    use_hub("models", "org/bert")
    use(rows / "train.arrow")

    sweep()

    assert (model.exists(), rows.exists()) == (True, True)


def test_use_that_begins_while_an_entry_is_looked_at_keeps_it(
    put: Callable[[str, float], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, lock = put(MODEL, KEPT_SECONDS + HOUR), shared_cache._lock

    def lock_after_a_use(root: Path) -> object:
        monkeypatch.setattr(shared_cache, "_lock", lock)
        use_hub("models", "org/bert")
        return lock(root)

    monkeypatch.setattr(shared_cache, "_lock", lock_after_a_use)
    sweep()

    assert model.exists()


def test_what_a_killed_pod_left_goes_with_its_entry_and_a_cut_download_of_the_hub_after_an_hour(
    put: Callable[[str, float], Path], cache: Path
) -> None:
    partial = put(SOURCE, KEPT_SECONDS + HOUR).with_name("89ef.partial")
    partial.mkdir()
    blobs = put(MODEL, 0) / "blobs"
    blobs.mkdir()
    cut, under_way = blobs / "aa.1.incomplete", blobs / "bb.2.incomplete"
    for path in (cut, under_way):
        path.write_text("half")
    os.utime(cut, (time.time() - 2 * HOUR,) * 2)

    sweep()

    assert [path.exists() for path in (partial, cut, under_way)] == [False, False, True]


def test_a_cache_is_swept_once_an_hour_while_there_is_room(
    put: Callable[[str, float], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, free=lambda: 50.0)
    sweep()
    old = put(MODEL, KEPT_SECONDS + HOUR)

    sweep()

    assert old.exists()


def test_models_and_data_go_to_the_volume_and_tokens_to_sign_in_with_do_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", "/scratch/huggingface")

    use_shared_cache()

    there = {name: os.environ[name] for name in ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE")}
    assert there == {
        "HF_HOME": "/scratch/huggingface",
        "HF_HUB_CACHE": f"{cache}/hub",
        "HF_DATASETS_CACHE": f"{cache}/datasets",
    }


def test_a_volume_that_cannot_lock_is_not_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(fcntl, "flock", no_locks)

    use_shared_cache()

    assert (ENV_CACHE in os.environ, "HF_HUB_CACHE" in os.environ) == (False, False)
    assert "is not used: it cannot be written to or locked" in caplog.text
