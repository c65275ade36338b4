"""Rows become tokens once: what counts is what they hold, not where they lie."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.trainer.tiny import make_tokenizer
from tests.trainer.tiny_language import byte_tokenizer

from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.tokenizing import (
    Batch,
    as_loaded,
    encode_texts,
    tokenized,
    with_single_ends,
    without_outer_blanks,
)

ROWS = {"text": ["a film", "a book and a day"], "note": ["x", "y"]}


class Lengths:
    """A tokenizer of a kind, and how often it was asked."""

    def __init__(self, path: Path, *settings: Any) -> None:
        self.asked = 0
        source = DatasetSettings.model_validate({"source": f"file://{path}", "train": {"split": "train"}})
        self.found = tokenized(load_rows(source, {})[0], ["text"], self.encode, *settings).lengths

    def encode(self, batch: Batch, indices: list[int]) -> Batch:
        self.asked += 1
        return {"input_ids": [[1] * len(text.split()) for text in batch["text"]]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_the_same_texts_in_another_file_with_other_notes_are_not_tokenised_again(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).to_csv(tmp_path / "a.csv")
    datasets.Dataset.from_dict({**ROWS, "note": ["p", "q"]}).to_parquet(tmp_path / "b.parquet")

    first, second = Lengths(tmp_path / "a.csv"), Lengths(tmp_path / "b.parquet")

    assert (first.found, first.asked) == ([2, 5], 1)
    assert (second.found, second.asked) == ([2, 5], 0)


def test_other_texts_and_other_settings_are_tokenised_anew(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).to_csv(tmp_path / "a.csv")
    datasets.Dataset.from_dict({**ROWS, "text": ["a film", "a book"]}).to_csv(tmp_path / "b.csv")

    runs = [Lengths(tmp_path / "a.csv", 1), Lengths(tmp_path / "a.csv", 2), Lengths(tmp_path / "b.csv", 1)]

    assert [(run.found, run.asked) for run in runs] == [([2, 5], 1), ([2, 5], 1), ([2, 2], 1)]


def test_a_column_of_ours_has_its_own_type_though_a_user_s_has_its_name(tmp_path: Path) -> None:
    columns = {"length": ["a film", "a book"], "labels": [["x"], ["y"]]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "rows")
    source = DatasetSettings.model_validate({"source": f"file://{tmp_path}/rows", "train": {"split": "train"}})

    def encode(batch: Batch, indices: list[int]) -> Batch:
        return {"input_ids": [text.split() for text in batch["length"]], "labels": [[0.0, 1.0]] * len(indices)}

    examples = tokenized(load_rows(source, {})[0], ["length", "labels"], encode)

    assert examples.lengths == [2, 2]
    assert examples.dataset["labels"][:] == [[0.0, 1.0]] * 2
    assert examples.dataset.column_names == ["input_ids", "labels"]


class Spy:
    """A tokenizer, and how many characters of a text it was given at the most."""

    truncation_side = "right"

    def __init__(self) -> None:
        self.tokenizer = make_tokenizer()
        self.read = 0

    def __call__(self, **options: Any) -> Any:
        sides = [value for name, value in options.items() if name.startswith("text")]
        self.read = max(self.read, *(len(text) for side in sides for text in side))
        return self.tokenizer(**options)


HUGE = "the film was " * 5000
CUT = {"truncation": True, "max_length": 8}


@pytest.mark.parametrize(
    "sides", [{"text": ["a book", HUGE], "text_pair": [HUGE, "a day"]}, {"text_target": ["a book", HUGE]}]
)
def test_of_a_huge_text_the_tokenizer_reads_no_more_than_fills_the_row(sides: dict[str, list[str]]) -> None:
    spy = Spy()

    encoded = encode_texts(spy, sides, CUT)  # type: ignore[arg-type]

    assert encoded == dict(spy.tokenizer(**sides, **CUT))
    assert spy.read == 8 * 64


def test_of_a_huge_text_that_is_cut_later_no_more_is_read_either() -> None:
    spy = Spy()

    encoded = encode_texts(spy, {"text": ["a book", HUGE]}, {"truncation": False}, used=8)  # type: ignore[arg-type]

    assert [tokens[:8] for tokens in encoded["input_ids"]] == [
        tokens[:8] for tokens in spy.tokenizer(["a book", HUGE], verbose=False)["input_ids"]
    ]
    assert spy.read == 8 * 64


@pytest.mark.parametrize("options", [{"cut": CUT}, {"cut": {"truncation": False}, "used": 8}])
def test_a_huge_text_that_begins_with_nothing_is_read_to_its_end(options: dict[str, Any]) -> None:
    tokenizer = make_tokenizer()
    texts = [" " * 5000 + "the film was", "a book"]

    encoded = encode_texts(tokenizer, {"text": texts}, **options)

    assert encoded == dict(tokenizer(texts, **CUT))
    assert len(encoded["input_ids"][0]) == 5


@pytest.mark.parametrize("longest", [None, 7])
def test_a_tokenizer_is_saved_as_it_was_loaded_whatever_was_tokenised_with_it(longest: int | None) -> None:
    tokenizer = make_tokenizer()
    if longest:
        tokenizer.backend_tokenizer.enable_truncation(longest)
    before = tokenizer.backend_tokenizer.to_str()

    with as_loaded(tokenizer):
        tokenizer(["the film was fine"], truncation=True, max_length=3, padding="max_length")

    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize(
    ("text", "behind", "kept"),
    [
        (" <bos>a <eos> \n", True, "<bos>a <eos>"),
        (" <bos>a <eos> \n", False, "<bos>a <eos> \n"),
        (" a <bos> ", True, " a <bos> "),
        ("  ", True, "  "),
    ],
)
def test_blanks_go_where_they_part_a_text_from_what_a_tokenizer_puts_around_it(
    text: str, behind: bool, kept: str
) -> None:
    tokenizer = byte_tokenizer(begins=True)

    assert without_outer_blanks(text, tokenizer, behind) == kept
    once = with_single_ends({"input_ids": [tokenizer(kept)["input_ids"]]}, tokenizer)["input_ids"][0]
    assert once.count(tokenizer.bos_token_id) == (2 if "a <bos>" in kept else 1)
