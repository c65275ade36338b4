"""What attempts hand to each other is gone after the last failure too, though each of them is retried."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from finetune_api.reasons import Reason
from finetune_api.report import ENV_DOWNLOADS, ENV_OWN_VOLUME, ENV_RETRIES, ENV_TERMINATION_LOG, ENV_TOKENS, ExitCode
from finetune_trainer import __main__ as program
from finetune_trainer.base import time_limit
from finetune_trainer.base.errors import model_error
from finetune_trainer.storage.failed_attempts import count_failure

SETTINGS = {
    "task": "text-classification",
    "model": {"source": "file:///model"},
    "dataset": {"source": "file:///data", "train": {"split": "train"}},
    "output": {"uri": "file:///output"},
}


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What the program sets for its process is as before when a test ends."""
    environment = dict(os.environ)
    make_record, hooks = logging.getLogRecordFactory(), (threading.excepthook, sys.excepthook)
    yield
    logging.setLogRecordFactory(make_record)
    threading.excepthook, sys.excepthook = hooks
    os.environ.clear()
    os.environ.update(environment)


def attempt(volume: Path) -> list[str]:
    """Fail, as for a disk that breaks. Return what is left on the volume."""
    for name in (".downloads", ".tokens"):
        (volume / name).mkdir(exist_ok=True)
        (volume / name / "file").write_text("x")

    assert program.main(["--config", str(volume.parent / "run.yaml")]) == 1

    return sorted(path.name for path in volume.iterdir())


def test_the_last_of_several_failures_leaves_nothing_and_those_before_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    for name, value in {
        ENV_OWN_VOLUME: str(volume),
        ENV_DOWNLOADS: str(volume / ".downloads"),
        ENV_TOKENS: str(volume / ".tokens"),
        ENV_RETRIES: "1",
        ENV_TERMINATION_LOG: str(tmp_path / "termination"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(SETTINGS))

    def breaks(*_: object) -> str:
        raise RuntimeError("the disk is broken")

    monkeypatch.setattr(program, "_execute", breaks)

    left = [attempt(volume) for _ in range(3)]

    assert left == [[".downloads", ".failures", ".tokens"], [], [".downloads", ".failures", ".tokens"]]


def test_a_preparation_that_comes_to_no_end_takes_nothing_from_a_run_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".downloads").mkdir()
    monkeypatch.setenv(ENV_DOWNLOADS, str(tmp_path / ".downloads"))
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "termination"))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(SETTINGS))
    endless = model_error(Reason.MODEL_UNREADABLE, "it comes to no end")
    monkeypatch.setattr(program, "_execute", lambda *_, **__: time_limit._ends[0](endless))
    monkeypatch.setattr(os, "_exit", sys.exit)

    with pytest.raises(SystemExit) as ended:
        program.main(["prepare", "--config", str(tmp_path / "run.yaml")])

    assert ended.value.code == ExitCode.MODEL
    assert sorted(path.name for path in tmp_path.iterdir()) == [".downloads", "run.yaml"]


@pytest.mark.parametrize("count", ["", "many"])
def test_a_count_that_cannot_be_read_lets_nothing_go(
    count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_OWN_VOLUME, str(tmp_path))
    monkeypatch.setenv(ENV_RETRIES, "0")
    (tmp_path / ".failures").write_text(count)

    assert not count_failure()
