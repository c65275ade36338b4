"""history.jsonl."""

import json
from pathlib import Path

import pytest

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.metrics.by_class import ByClass
from finetune_trainer.progress.history import History, Sent


def test_a_resumed_run_has_no_line_twice_and_no_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    killed = History(path)
    killed.append("log", 1, 0.5, {"loss": 2.0})
    killed.append("evaluation", 2, 1.0, {"eval_accuracy": 0.5})
    killed.append("log", 3, 1.5, {"loss": 1.0})
    with path.open("a") as file:
        file.write('{"kind": "log", "st')

    resumed = History(path)
    resumed.resume(2)
    resumed.begin()
    resumed.append("log", 3, 1.5, {"loss": 0.9})

    assert path.read_text().splitlines() == [
        '{"kind":"log","step":1,"epoch":0.5,"metrics":{"loss":2.0}}',
        '{"kind":"evaluation","step":2,"epoch":1.0,"metrics":{"eval_accuracy":0.5}}',
        '{"kind":"log","step":3,"epoch":1.5,"metrics":{"loss":0.9}}',
    ]
    assert resumed.newest() == {"loss": 0.9, "eval_accuracy": 0.5}
    assert (resumed.evaluation_at(2), resumed.evaluation_at(3)) == ({"eval_accuracy": 0.5}, {})


def test_of_points_that_a_tracker_has_not_got_no_more_than_are_wanted_are_made(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for step in range(1, 6):
        history.append("log", step, step / 10, {"loss": 1.0})
        history.append("evaluation", step, step / 10, {"eval_loss": 1.0})
    history.append("adjustment", 5, 0.5, {"batch_size": 4})
    sent = Sent(log=3, evaluation=2)

    points = [(point.kind, point.step) for point in history.after(sent, most=2)]

    assert (points, history.count_after(sent)) == ([("evaluation", 3), ("log", 4)], 5)


def test_a_resumed_run_leaves_the_lines_of_before_as_they_are_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    killed = History(path)
    killed.append("log", 1, 0.5, {"learning_rate": 4.75e-05, "loss": 1e-7})
    written = path.read_bytes()

    resumed = History(path)
    resumed.resume(1)
    resumed.begin()

    assert path.read_bytes() == written


def test_lines_that_are_not_ours_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('[]\n{"step": 1}\n{"kind": "log", "step": "x", "epoch": 1, "metrics": {}}\n')

    history = History(path)
    history.resume(5)
    history.begin()

    assert path.read_text() == ""


BY_CLASS = ByClass(names=["x", "y"], precision=[1, 0.5], recall=[0.5, 1], f1=[0.667, 0.667], support=[2, 1])


def test_what_was_found_of_each_class_stands_beside_its_evaluation_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path).append("evaluation", 2, 1.0, {"eval_accuracy": 0.5}, BY_CLASS)

    resumed = History(path)
    resumed.resume(2)
    resumed.begin()

    line = json.loads(path.read_text())
    assert (line["metrics"], line["by_class"]["names"]) == ({"eval_accuracy": 0.5}, ["x", "y"])
    assert resumed.newest() == {"eval_accuracy": 0.5}
    results = resumed.results_at(2)
    assert results
    assert json.loads(results) == {
        "step": 2, "epoch": 1.0, "eval_accuracy": 0.5, "by_class": BY_CLASS.model_dump(exclude_none=True)
    }  # fmt: skip
    assert resumed.results_at(3) is None


def test_an_evaluation_of_an_older_trainer_is_read_and_has_results(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"kind":"evaluation","step":2,"epoch":1.0,"metrics":{"eval_loss":0.5}}\n')

    history = History(path)
    history.resume(2)

    assert json.loads(history.results_at(2) or "") == {"step": 2, "epoch": 1.0, "eval_loss": 0.5}


def test_a_full_disk_is_reported_as_such_by_whatever_line_meets_it(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").symlink_to("/dev/full")

    with pytest.raises(TrainerError) as caught:
        History(tmp_path / "history.jsonl").append("log", 1, 0.5, {"loss": 2.0})

    assert caught.value.reason == "OutputFull"
    assert caught.value.hint


def test_a_folder_that_is_gone_is_a_failure_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as caught:
        History(tmp_path / "gone" / "history.jsonl").begin()

    assert caught.value.reason == "OutputFailed"
