"""A run goes on with the data it began with, and says so where that has changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tests.trainer.tiny import Settings, Train, texts

from finetune_api.report import ExitCode


@pytest.fixture
def files(settings: Settings, tmp_path: Path) -> Path:
    """Rows to train and evaluate on that a test can change."""
    folder = tmp_path / "rows"
    folder.mkdir()
    write(folder / "train.jsonl", texts(24))
    write(folder / "test.jsonl", texts(12, seed=1))
    settings["dataset"]["source"] = f"file://{folder}"
    settings["training"]["epochs"] = 1
    return folder


def write(path: Path, columns: dict[str, list[str]], **more: Any) -> None:
    rows = [dict(zip(columns, values, strict=True)) | more for values in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(json.dumps(row) for row in rows))


def swapped(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    return columns | {"label": [{"good": "bad", "bad": "good"}[label] for label in columns["label"]]}


@pytest.mark.parametrize(("name", "rows"), [("train", 24), ("test", 12)])
@pytest.mark.parametrize("command", [(), ("prepare",)])
def test_a_run_whose_data_changed_is_refused_and_not_taken_for_done(
    settings: Settings, train: Train, files: Path, name: str, rows: int, command: tuple[str, ...]
) -> None:
    first = train(settings)
    write(files / f"{name}.jsonl", swapped(texts(rows, seed=int(name == "test"))))

    second = train(settings, *command)

    assert (first.code, second.code) == (0, ExitCode.OUTPUT)
    assert f"the {'training' if name == 'train' else 'evaluation'} rows have changed" in second.said
    assert "give output.uri another folder" in second.said


def test_what_no_task_reads_may_change(settings: Settings, train: Train, files: Path) -> None:
    train(settings)
    write(files / "train.jsonl", texts(24), note="new")
    (files / "test.jsonl").touch()

    assert train(settings).code == 0


def test_a_run_of_before_that_left_no_fingerprints_goes_on(
    settings: Settings, train: Train, files: Path, tmp_path: Path
) -> None:
    train(settings)
    mark = tmp_path / "out" / "run.json"
    told = json.loads(mark.read_text())
    del told["rows"]
    mark.write_text(json.dumps(told))
    write(files / "train.jsonl", swapped(texts(24)))

    assert train(settings).code == 0


@pytest.mark.parametrize("command", [(), ("prepare",)])
def test_a_finished_run_of_a_model_that_has_changed_says_so(
    settings: Settings, train: Train, files: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(settings["model"]["source"].removeprefix("file://"), model)
    settings["model"]["source"] = f"file://{model}"
    first = train(settings)
    (model / "README.md").write_text("a note")
    same = train(settings, *command)
    weights = load_file(model / "model.safetensors")
    save_file({name: value * 2 for name, value in weights.items()}, model / "model.safetensors", {"format": "pt"})

    changed = train(settings, *command)

    assert (first.code, same.code, changed.code) == (0, 0, 0)
    said = "holds what this run made of its model at sha256:"
    assert (said in first.said, said in same.said, said in changed.said) == (False, False, True)
