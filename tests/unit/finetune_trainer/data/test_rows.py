"""Which data a run was made of."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.sampling import sample_rows

ROWS = {"text": ["a film", "a book", "a day"], "label": ["good", "bad", "good"], "id": [1, 2, 3]}


def fingerprint_of(path: Path, train: dict[str, Any]) -> str:
    settings = DatasetSettings.model_validate({"source": f"file://{path}", "train": train})
    return load_rows(settings, {})[0].fingerprint(["text", "label"])


def test_the_same_rows_have_the_same_fingerprint_in_every_format(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    rows.to_csv(tmp_path / "a.csv")
    rows.to_parquet(tmp_path / "b.parquet")
    everything = {"split": "train"}

    assert fingerprint_of(tmp_path / "a.csv", everything) == fingerprint_of(tmp_path / "b.parquet", everything)


def test_other_rows_have_another_fingerprint(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).to_csv(tmp_path / "a.csv")
    datasets.Dataset.from_dict({**ROWS, "label": ["good", "bad", "bad"]}).to_csv(tmp_path / "b.csv")

    found = {
        fingerprint_of(tmp_path / "a.csv", {"split": "train"}),
        fingerprint_of(tmp_path / "a.csv", {"split": "train[:2]"}),
        fingerprint_of(tmp_path / "b.csv", {"split": "train"}),
    }

    assert len(found) == 3


def test_the_same_numbers_for_other_classes_have_another_fingerprint(tmp_path: Path) -> None:
    for name, classes in (("a", ["no", "yes"]), ("b", ["yes", "no"])):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=classes)})
        datasets.Dataset.from_dict({"text": ["x", "y"], "label": [0, 1]}, features).save_to_disk(tmp_path / name)

    found = {fingerprint_of(tmp_path / name, {"split": "train"}) for name in ("a", "b")}

    assert len(found) == 2


def test_a_second_column_of_a_name_in_a_csv_file_is_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text,label\na film,a book,good\n")
    settings = DatasetSettings.model_validate({"source": f"file://{tmp_path}/a.csv", "train": {"split": "train"}})

    rows, _ = load_rows(settings, {})

    assert rows.dataset[0] == {"text": "a film", "text.1": "a book", "label": "good"}


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "text,label\na film,x\n"), ("a.jsonl", '{"text": "a film", "label": "x"}\n')]
)
def test_a_byte_order_mark_is_taken_away(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    settings = DatasetSettings.model_validate({"source": f"file://{tmp_path}/{name}", "train": {"split": "train"}})

    rows, _ = load_rows(settings, {})

    assert rows.dataset[0] == {"text": "a film", "label": "x"}


def test_a_row_is_named_as_it_stands_in_its_own_split(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        datasets.Dataset.from_dict(ROWS).to_csv(tmp_path / f"{name}.csv")
    train = {"split": "train[2:]+validation[1:]", "samples": 3, "seed": 0}
    settings = DatasetSettings.model_validate({"source": f"file://{tmp_path}", "train": train})

    rows, _ = load_rows(settings, {})

    assert sorted(rows.name_row(index) for index in range(3)) == [
        "row 2 of split 'validation' (counted from 1)",
        "row 3 of split 'train' (counted from 1)",
        "row 3 of split 'validation' (counted from 1)",
    ]


@pytest.mark.parametrize(
    ("label_column", "columns"),
    [
        (None, {"label": list(range(500))}),
        ("label", {"label": [[{"a": number}] for number in range(500)]}),
        ("label", {"label": [{"a": number} for number in range(500)]}),
        ("label", {"label": [[f"tag {number}", "all"] for number in range(500)]}),
        ("label", {"label": list(range(500))}),
        ("label", {"label": [number / 7 for number in range(500)]}),
    ],
)
def test_whatever_a_column_holds_a_sample_stays_one(label_column: str | None, columns: dict[str, list[Any]]) -> None:
    texts = ["a film"] * 499 + ["   "]
    dataset = datasets.Dataset.from_dict({"text": texts, **columns})
    rows = Rows(dataset, np.arange(1, 501), np.full(500, "train", object), "train")

    sample = sample_rows(rows, 50, label_column)

    assert 50 < len(sample.dataset) <= 100 + 2
    assert "   " in sample.dataset["text"][:]


def test_a_sample_has_each_whole_number_of_a_column_of_floats_and_a_fraction() -> None:
    labels = [float(number % 3) for number in range(500)]
    labels[333], labels[401] = 9.0, 0.5
    dataset = datasets.Dataset.from_dict({"text": ["a film"] * 500, "label": labels})
    rows = Rows(dataset, np.arange(1, 501), np.full(500, "train", object), "train")

    assert {*sample_rows(rows, 50, "label").dataset["label"]} == {*labels}
