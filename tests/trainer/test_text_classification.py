"""The shapes of text classification: several classes a row, and numbers; one class is in test_training.py."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers
from tests.trainer.tiny import Settings, Train, texts
from tests.trainer.tiny_language import save_t5

from finetune_api.run import RunConfig
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.models.pretrained import find_pretrained
from finetune_trainer.models.tokenizer import load_tokenizer
from finetune_trainer.tasks import text_classification
from finetune_trainer.tasks.task import Inputs, prepare

MARKS = {"bad": [0, 1, 0], "good": [1, 1, 0]}


def on(settings: Settings, folder: Path, labels: list[Any], feature: Any = None) -> None:
    """Train and evaluate on the texts with other labels; words still tell them."""
    rows = datasets.Dataset.from_dict({"text": texts(len(labels))["text"], "label": labels})
    (rows.cast_column("label", feature) if feature else rows).save_to_disk(folder / "rows")
    settings["dataset"] = {
        "source": f"file://{folder}/rows",
        "train": {"split": "train"},
        "evaluation": {"split": "train[:40]"},
    }
    settings["evaluation"] = {}
    settings["training"]["epochs"] = 1


def config_of(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "out" / "model" / "config.json").read_text())
    return {name: config.get(name) for name in ("problem_type", "id2label")}


@pytest.mark.parametrize(
    ("labels", "feature", "names"),
    [
        ({"bad": ["film"], "good": ["film", "praise", "film"]}, None, ["film", "praise"]),
        ({"bad": [7], "good": [9, 7]}, None, ["7", "9"]),
        ({"bad": [7.0], "good": [9.0, 7.0]}, None, ["7", "9"]),
        ({"bad": [], "good": [1, 0]}, datasets.List(datasets.ClassLabel(names=["x", "y", "z"])), ["x", "y", "z"]),
        (MARKS, None, ["0", "1", "2"]),
        (MARKS, datasets.List(datasets.Value("float32")), ["0", "1", "2"]),
        (MARKS, datasets.List(datasets.Value("bool"), length=3), ["0", "1", "2"]),
    ],
)
def test_a_list_of_labels_is_learnt_as_several_classes(
    settings: Settings, train: Train, tmp_path: Path, labels: dict[str, list[Any]], feature: Any, names: list[str]
) -> None:
    on(settings, tmp_path, [labels[label] for label in texts(40)["label"]], feature)

    ended = train(settings)

    assert ended.code == 0
    assert config_of(tmp_path) == {
        "problem_type": "multi_label_classification",
        "id2label": {str(number): name for number, name in enumerate(names)},
    }
    assert [metric.name for metric in ended.final.evaluations[-1].metrics] == ["eval_loss", "eval_f1"]


@pytest.mark.slow
def test_several_classes_are_found_where_their_words_stand(settings: Settings, train: Train, tmp_path: Path) -> None:
    on(settings, tmp_path, [["text", label] for label in texts(96)["label"]])
    settings["evaluation"] = {"metrics": ["accuracy", "f1", "precision", "recall"], "bestMetric": "accuracy"}
    settings["training"]["epochs"] = 10

    final = train(settings).final

    assert {metric.name: float(metric.value) > 0.9 for metric in final.evaluations[-1].metrics[1:]} == {
        "eval_accuracy": True, "eval_f1": True, "eval_precision": True, "eval_recall": True,
    }  # fmt: skip
    pipeline = transformers.pipeline("text-classification", str(tmp_path / "out" / "model"), device="cpu", top_k=None)
    assert {found["label"] for found in pipeline(["the film was awful"])[0] if found["score"] > 0.5} == {"bad", "text"}


@pytest.mark.slow
@pytest.mark.parametrize(("good", "bad", "problem_type"), [(4.5, 1.5, None), (2, 1, "regression")])
def test_a_number_is_learnt_as_one(
    settings: Settings, train: Train, tmp_path: Path, good: float, bad: float, problem_type: str | None
) -> None:
    on(settings, tmp_path, [good if label == "good" else bad for label in texts(96)["label"]])
    settings["training"]["epochs"] = 12
    settings["evaluation"] = {"bestMetric": "mse"}
    if problem_type:
        settings["model"]["problemType"] = problem_type

    ended = train(settings)

    assert ended.code == 0
    assert config_of(tmp_path) == {"problem_type": "regression", "id2label": {"0": "LABEL_0"}}
    scores = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert list(scores) == ["eval_loss", "eval_pearsonr", "eval_spearmanr", "eval_mse"]
    assert scores["eval_pearsonr"] > 0.9
    assert scores["eval_mse"] == pytest.approx(scores["eval_loss"], rel=1e-3)


@pytest.mark.slow
def test_whole_numbers_that_are_floats_are_learnt_as_classes_and_reported(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    on(settings, tmp_path, [1.0 if label == "good" else 0.0 for label in texts(96)["label"]])
    settings["training"]["epochs"] = 10

    final = train(settings).final

    assert config_of(tmp_path) == {"problem_type": "single_label_classification", "id2label": {"0": "0", "1": "1"}}
    assert {metric.name: float(metric.value) > 0.9 for metric in final.evaluations[-1].metrics[1:]} == {
        "eval_accuracy": True
    }
    assert "WholeNumbers" in [warning.reason for warning in final.warnings]


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_each_class_has_its_scores_in_the_history_and_beside_the_model(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    on(settings, tmp_path, texts(96)["label"])
    settings["training"] |= {"engine": engine, "epochs": 2}
    settings["evaluation"] = {"metrics": ["accuracy"], "bestMetric": "accuracy"}

    final = train(settings).final

    lines = [json.loads(line) for line in (tmp_path / "out/history.jsonl").read_text().splitlines()]
    evaluated = {line["step"]: line for line in lines if line["kind"] == "evaluation"}
    assert len(evaluated) == 2
    for line in evaluated.values():
        confusion = line["by_class"]["confusion"]
        assert line["by_class"]["names"] == ["bad", "good"]
        assert line["by_class"]["support"] == [sum(row) for row in confusion] == [14, 26]
        assert line["metrics"]["eval_accuracy"] == pytest.approx((confusion[0][0] + confusion[1][1]) / 40)
    assert final.best_checkpoint
    chosen = evaluated[final.best_checkpoint.step]
    results = json.loads((tmp_path / "out/model/eval_results.json").read_text())
    assert (results["step"], results["by_class"], results["eval_accuracy"]) == (
        chosen["step"], chosen["by_class"], chosen["metrics"]["eval_accuracy"],
    )  # fmt: skip
    assert [metric.name for metric in final.evaluations[-1].metrics] == ["eval_loss", "eval_accuracy"]


def test_a_slice_of_one_class_is_reported_before_it_is_learnt(settings: Settings, train: Train, tmp_path: Path) -> None:
    on(settings, tmp_path, [0] * 20 + [1] * 20, datasets.ClassLabel(names=["no", "yes"]))
    settings["dataset"] |= {"train": {"split": "train[:50%]"}, "evaluation": {"split": "train[:25%]"}}

    final = train(settings).final

    assert [warning.reason for warning in final.warnings] == ["OneClass", "OneClassEvaluated", "RowsInBoth"]


def test_one_row_is_enough_where_the_column_names_its_classes(settings: Settings, train: Train, tmp_path: Path) -> None:
    on(settings, tmp_path, [1], datasets.ClassLabel(names=["no", "yes"]))

    ended = train(settings)

    assert (ended.code, ended.final.progress and ended.final.progress.step) == (0, 1)
    assert config_of(tmp_path)["problem_type"] == "single_label_classification"


def test_empty_texts_are_learnt_and_reported(settings: Settings, train: Train, tmp_path: Path) -> None:
    columns = {"text": ["the film", "", " \t", "a day"], "label": ["x", "y", "y", "x"]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "rows")
    settings["dataset"] = {"source": f"file://{tmp_path}/rows", "train": {"split": "train"}}
    settings["evaluation"] = {}

    ended = train(settings)

    assert ended.code == 0
    assert "column 'text' has 2 empty texts, the first in row 2 of split 'train' (counted from 1)" in ended.said


@pytest.mark.parametrize(
    ("kind", "task", "rows", "columns"),
    [
        ("SequenceClassification", "text-classification", {"text": ["a", "b", "a"], "label": ["x", "y", "x"]}, {}),
        ("SequenceClassification", "text-classification", {"text": ["a", "b", "a"], "label": [["x"], ["y"], ["x"]]}, {}),
        ("TokenClassification", "token-classification", {"text": [["a"]] * 3, "label": [["x"], ["y"], ["x"]]},
            {"tokens": "text", "tags": "label"}),
    ],
)  # fmt: skip
def test_a_head_that_knows_the_classes_goes_on_with_them(
    settings: Settings, train: Train, model: Path, tmp_path: Path, kind: str, task: str, rows: Any, columns: Settings
) -> None:
    names = {0: "y", 1: "x"}
    known = getattr(transformers, f"BertFor{kind}").from_pretrained(model, id2label=names)
    torch.nn.init.zeros_(known.classifier.weight)
    known.classifier.bias.data = torch.tensor([-5.0, 5.0])
    known.save_pretrained(tmp_path / "known")
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "known")
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "rows")
    split = {"split": "train"}
    dataset = {"source": f"file://{tmp_path}/rows", "train": split, "evaluation": split, "columns": columns}
    settings |= {"task": task, "model": {"source": f"file://{tmp_path}/known"}, "dataset": dataset}
    settings["training"] |= {"epochs": 1, "learningRate": 1e-12}

    ended = train(settings)

    metrics = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert metrics["eval_accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert config_of(tmp_path)["id2label"] == {"0": "y", "1": "x"}


def test_the_same_lists_read_as_marks_and_as_classes_are_not_taken_for_each_other(
    settings: Settings, tmp_path: Path
) -> None:
    on(settings, tmp_path, [[0, 1], [1, 0], [0], [1], [0, 1], [1, 0]])

    def labels(train: str) -> list[list[float]]:
        settings["dataset"] |= {"train": {"split": train}, "evaluation": {"split": "train[4:]"}}
        config = RunConfig.model_validate(settings)
        pretrained = find_pretrained(config.model, {})
        tokenizer = load_tokenizer(pretrained, config.model)
        rows = load_rows(config.dataset, {})
        evaluation = prepare(text_classification, Inputs(config, pretrained, tokenizer, *rows, True, print)).evaluation
        assert evaluation
        return list(evaluation.dataset["labels"])

    assert labels("train[:2]") == [[0.0, 1.0], [1.0, 0.0]]
    assert labels("train[2:4]") == [[1.0, 1.0], [1.0, 1.0]]


def test_a_model_that_gives_more_than_logits_is_evaluated_by_those(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["model"]["source"] = f"file://{save_t5(tmp_path / 't5')}"
    settings["training"]["epochs"] = 0.1

    ended = train(settings)

    assert ended.code == 0
    assert [metric.name for metric in ended.final.evaluations[-1].metrics] == ["eval_loss", "eval_accuracy"]
