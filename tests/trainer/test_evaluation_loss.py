"""The loss of an evaluation is the mean over all its labels, however they come in batches and processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.trainer.crowd import run_together
from tests.trainer.test_token_classification import tagged
from tests.trainer.tiny import Settings, Train, texts
from tests.trainer.tiny_language import COLOUR_OF, save_t5, write_rows
from torch.nn.functional import cross_entropy

ROWS = 7
BOTH = pytest.mark.parametrize("engine", ["trainer", "pytorch"])

Reference = Callable[[Path, list[dict[str, Any]]], float]
"""Mean loss of an exported model over all labels of some rows, by nothing but transformers and torch."""


def loss_of_tags(model: Path, rows: list[dict[str, Any]]) -> float:
    tagger = transformers.AutoModelForTokenClassification.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    losses = []
    for row in rows:
        logits = tagger(**tokenizer(" ".join(row["tokens"]), return_tensors="pt")).logits[0, 1:-1]
        wanted = torch.tensor([tagger.config.label2id[tag] for tag in row["tags"]])
        losses.append(cross_entropy(logits, wanted, reduction="none"))
    return float(torch.cat(losses).mean())


def loss_of_targets(model: Path, rows: list[dict[str, Any]]) -> float:
    writer = transformers.AutoModelForSeq2SeqLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    losses = []
    for row in rows:
        labels = tokenizer(row["target"], return_tensors="pt").input_ids
        logits = writer(**tokenizer(row["text"], return_tensors="pt"), labels=labels).logits
        losses.append(cross_entropy(logits[0], labels[0], reduction="none"))
    return float(torch.cat(losses).mean())


def loss_of_classes(model: Path, rows: list[dict[str, Any]]) -> float:
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    losses = [
        classifier(
            **tokenizer(row["text"], return_tensors="pt"),
            labels=torch.tensor([classifier.config.label2id[row["label"]]]),
        ).loss
        for row in rows
    ]
    return float(torch.stack(losses).mean())


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def of_task(settings: Settings, folder: Path, task: str) -> tuple[Settings, list[dict[str, Any]], Reference]:
    """Settings of a short run, the rows that it is evaluated on, which have unequally many labels, and the reference."""
    colours = [
        {"text": f"what is the {thing} ?", "target": " ".join([colour] * n)}
        for n, (thing, colour) in enumerate(COLOUR_OF.items(), 1)
    ]
    rows, reference = {
        "token-classification": (rows_of(tagged(30)), loss_of_tags),
        "text-classification": (rows_of(texts(30)), loss_of_classes),
        "seq2seq": (colours * 2, loss_of_targets),
    }[task]
    settings = {
        **settings,
        "task": task,
        "dataset": {
            "source": f"file://{write_rows(folder / 'rows.jsonl', rows)}",
            "train": {"split": "train"}, "evaluation": {"split": f"train[:{ROWS}]"},
        },
        "evaluation": {"metrics": []},
    }  # fmt: skip
    if task == "seq2seq":
        settings |= {"model": {"source": f"file://{save_t5(folder / 't5')}"}}
    return settings, rows[:ROWS], reference


def evaluation_loss(out: Path) -> float:
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    loss: float = next(line["metrics"]["eval_loss"] for line in reversed(lines) if line["kind"] == "evaluation")
    return loss


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("task", ["token-classification", "text-classification", "seq2seq"])
def test_the_loss_is_the_same_for_every_size_of_the_evaluation_s_batches(
    settings: Settings, train: Train, tmp_path: Path, engine: str, task: str
) -> None:
    settings, rows, reference = of_task(settings, tmp_path, task)
    losses = []
    for size in (1, 3, 8):
        arguments = {"per_device_eval_batch_size": size}
        settings["training"] = {"engine": engine, "epochs": 0.2, "learningRate": 0.005, "arguments": arguments}
        settings["output"] = {"uri": f"file://{tmp_path}/{size}"}
        assert train(settings).code == 0
        losses.append(evaluation_loss(tmp_path / str(size)))

    assert losses == pytest.approx([reference(tmp_path / "8" / "model", rows)] * 3, rel=1e-6)


@pytest.mark.slow
@BOTH
def test_the_loss_over_two_processes_counts_no_row_twice(settings: Settings, tmp_path: Path, engine: str) -> None:
    settings, rows, reference = of_task(settings, tmp_path, "token-classification")
    arguments = {"per_device_eval_batch_size": 3}  # the second process has the seventh row's place filled up
    settings["training"] = {"engine": engine, "epochs": 0.2, "learningRate": 0.005, "arguments": arguments}
    settings["processesPerNode"] = 2

    ended = run_together(settings, tmp_path / "reports")

    assert ended.codes == [0, 0]
    expected = reference(tmp_path / "out" / "model", rows)
    assert evaluation_loss(tmp_path / "out") == pytest.approx(expected, rel=1e-6)
