"""A tag for each word: names are found, words keep their tags through subwords and cuts, odd rows are told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers
from tests.trainer.tiny import LONGEST, WORDS, Ended, Settings, Train, make_tokenizer, texts
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from finetune_api.report import ExitCode
from finetune_trainer.tasks.token_classification import first_tokens

METRICS = ["eval_loss", "eval_precision", "eval_recall", "eval_f1", "eval_accuracy"]


def tagged(count: int) -> dict[str, list[list[str]]]:
    """Good words are one kind of entity, bad ones another; the word behind goes with them."""
    rows: dict[str, list[list[str]]] = {"tokens": [], "tags": []}
    for text in texts(count)["text"]:
        words, tags = text.split(), []
        for word in words:
            kind = next((kind for kind in WORDS if word in WORDS[kind]), None)
            inside = bool(tags) and tags[-1].startswith("B-")
            tags.append(f"B-{kind}" if kind else tags[-1].replace("B-", "I-") if inside else "O")
        rows["tokens"].append(words)
        rows["tags"].append(tags)
    return rows


@pytest.fixture
def run(settings: Settings, train: Train, tmp_path: Path) -> Callable[..., Ended]:
    """Trains on rows with these columns, and evaluates on the first of them."""

    def run(columns: dict[str, list[Any]], features: datasets.Features | None = None, **changes: Any) -> Ended:
        datasets.Dataset.from_dict(columns, features).save_to_disk(tmp_path / "rows")
        settings["task"] = "token-classification"
        settings["dataset"] = {
            "source": f"file://{tmp_path}/rows",
            "train": {"split": "train"},
            "evaluation": {"split": "train[:30]"},
        }
        settings["evaluation"] = {}
        settings["training"]["epochs"] = 1
        for name, change in changes.items():
            settings[name] = {**settings.get(name, {}), **change}
        return train(settings)

    return run


@pytest.mark.slow
def test_entities_are_found_where_their_words_stand(run: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run(tagged(96), training={"epochs": 10}, evaluation={"bestMetric": "f1"})

    assert ended.code == 0
    assert [metric.name for metric in ended.final.evaluations[-1].metrics] == METRICS
    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.9
    folder = tmp_path / "out" / "model"
    names = ["B-bad", "B-good", "I-bad", "I-good", "O"]
    assert json.loads((folder / "config.json").read_text())["id2label"] == {str(n): t for n, t in enumerate(names)}
    pipeline = transformers.pipeline("token-classification", str(folder), device="cpu", aggregation_strategy="simple")
    assert [(found["entity_group"], found["word"]) for found in pipeline("the film was awful")] == [("bad", "awful")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("marks", "form", "scheme"), [("SBIE", "{}-{}", "BIOES"), ("UBIL", "{1}-{0}", "BILOU"), ("BBII", "{}_{}", "IOB")]
)
def test_entities_are_found_in_whatever_scheme_they_are_tagged(
    run: Callable[..., Ended], tmp_path: Path, marks: str, form: str, scheme: str
) -> None:
    rows = tagged(96)
    for tags in rows["tags"]:
        for index, tag in enumerate(tags):
            longer = tag.startswith("I-") or (tags[index + 1 : index + 2] or ["O"])[0].startswith("I-")
            mark = marks[3] if tag.startswith("I-") else marks[1] if longer else marks[0]
            tags[index] = tag if tag == "O" else form.format(mark, tag[2:])

    ended = run(rows, training={"epochs": 12}, evaluation={"bestMetric": "f1"})

    assert f"the tags are of the scheme {scheme}" in ended.said
    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.7
    assert [warning.reason for warning in ended.final.warnings or ()] == ["RowsInBoth"]


@pytest.mark.parametrize(
    ("tags", "warnings"),
    [
        ([["3", "4"], ["0", "3"]], ["TagsNotOfEntities"]),
        ([["PER", "LOC"], ["O", "LOC"]], ["TagsNotOfEntities"]),
        ([["DET", "NOUN"], ["PRON", "VERB"]], []),
        ([["B-per", "O"], ["B-PER", "O"]], ["ClassesAlike"]),
    ],
)
def test_tags_that_may_be_of_entities_and_are_not_scored_so_are_reported_in_status(
    run: Callable[..., Ended], tags: list[list[str]], warnings: list[str]
) -> None:
    ended = run({"tokens": [["film", "the"]] * 16, "tags": tags * 8})

    assert ended.code == 0
    assert [warning.reason for warning in ended.final.warnings] == [*warnings, "RowsInBoth"]


@pytest.mark.parametrize(
    ("tags", "feature", "names"),
    [
        ([0, 2], datasets.ClassLabel(names=["O", "B-x", "B-y"]), ["O", "B-x", "B-y"]),
        ([5, 4], datasets.Value("int64"), ["4", "5"]),
        (["NOUN", "DET"], datasets.Value("string"), ["DET", "NOUN"]),
    ],
)
def test_tags_are_named_by_the_data(
    run: Callable[..., Ended], tmp_path: Path, tags: list[Any], feature: Any, names: list[str]
) -> None:
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "tags": datasets.List(feature)})

    ended = run({"tokens": [["film", "the"]] * 16, "tags": [tags] * 16}, features)

    assert ended.code == 0
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert list(config["id2label"].values()) == names
    assert [metric.name for metric in ended.final.evaluations[-1].metrics] == METRICS
    assert ("metrics are those of single words" in ended.said) == (names[-1][:2] != "B-")


@pytest.mark.parametrize("padding", ["longest", "max_length"])
def test_words_beyond_the_longest_sequence_are_not_used(run: Callable[..., Ended], padding: str) -> None:
    rows = {"tokens": [["the", "film"], ["the"] * 9, ["a"] * 99], "tags": [["O", "B-x"], ["O"] * 9, ["O"] * 99]}

    ended = run(rows, preprocessing={"maxLength": 8, "padding": padding})

    assert ended.code == 0
    assert "split 'train': 2 rows have words that are not used: beyond the longest sequence, or " in ended.said


@pytest.mark.parametrize("around", ["[CLS] $A [SEP]", "$A"])
def test_rows_without_words_are_left_out(run: Callable[..., Ended], model: Path, tmp_path: Path, around: str) -> None:
    shutil.copytree(model, tmp_path / "model")
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=around, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save_pretrained(tmp_path / "model")
    rows = {"tokens": [["the", "film"], [], ["a"], []] * 4, "tags": [["O", "B-x"], [], ["O"], []] * 4}

    ended = run(rows, training={"batchSize": 1}, model={"source": f"file://{tmp_path}/model"})

    assert ended.code == 0
    assert ended.final.progress
    assert ended.final.progress.total_steps == 8
    assert "8 rows have no words and are left out, the first is row 2 of split 'train'" in ended.said


def test_only_the_first_token_of_a_word_has_its_tag() -> None:
    assert first_tokens([None, 0, 0, 1, 2, 2, 2, None], [7, 8, 9]) == [-100, 7, -100, 8, 9, -100, -100, -100]


def test_a_word_that_the_tokenizer_makes_nothing_of_does_not_shift_the_others() -> None:
    assert first_tokens([None, 0, 2, 2, None], [7, 8, 9]) == [-100, 7, 9, -100, -100]


def test_words_of_a_byte_level_tokenizer_begin_with_a_space(
    settings: Settings, run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *ByteLevel.alphabet(), "Ġa", "Ġb"])}
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=[("Ġ", "a"), ("Ġ", "b")])
    tokenizer.model_max_length = LONGEST
    config = transformers.RobertaConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=LONGEST + 2, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    read: list[list[int]] = []
    pad = transformers.DataCollatorForTokenClassification.torch_call

    def spy(self: Any, features: list[dict[str, Any]]) -> Any:
        read.extend(feature["input_ids"] for feature in features)
        return pad(self, features)

    monkeypatch.setattr(transformers.DataCollatorForTokenClassification, "torch_call", spy)

    ended = run({"tokens": [["a", "b"]], "tags": [["O", "B-x"]]}, model={"source": f"file://{tmp_path}/roberta"})

    assert ended.code == 0
    assert tokenizer.convert_ids_to_tokens(read[0]) == ["<s>", "a", "Ġb", "</s>"]


MISTAKES: dict[str, tuple[dict[str, list[Any]], str, str]] = {
    "fewer tags than words": (
        {"tokens": [["a"], ["a", "film"]], "tags": [["O"], ["B-x"]]}, "TagsDoNotFit",
        "row 2 of split 'train' (counted from 1) has 2 words in 'tokens' and 1 tags in 'tags'",
    ),
    "text for words": (
        {"tokens": ["a film"], "tags": [["O", "B-x"]]}, "ColumnType",
        "column 'tokens' of split 'train' holds text and no lists of words (row 1: 'a film')",
    ),
    "one tag a row": (
        {"tokens": [["a"], ["film"]], "tags": ["O", "B-x"]}, "ColumnType",
        "column 'tags' of split 'train' holds text, and a list is needed (row 1: 'O')",
    ),
    "tags of a sentence as one text": (
        {"tokens": [["a", "film"]], "tags": ["O B-x"]}, "ColumnType",
        "column 'tags' of split 'train' holds text, and a list is needed (row 1: 'O B-x')",
    ),
    "tags of fractions": (
        {"tokens": [["a", "film"]], "tags": [[0.5, 1.5]]}, "ColumnType",
        "column 'tags' in row 1 of split 'train' (counted from 1) holds 0.5, which cannot be a class",
    ),
    "a word that is missing": (
        {"tokens": [["a", None]], "tags": [["O", "B-x"]]}, "ValueMissing",
        "column 'tokens' has a list with an empty entry in row 1 of split 'train'",
    ),
    "one tag only": (
        {"tokens": [["a", "film"]], "tags": [["O", "O"]]}, "OneLabel", "column 'tags' has only the label 'O'",
    ),
    "no words at all": (
        {"tokens": [[], ["a"]], "tags": [[], [-1]]}, "OneLabel", "column 'tags' has only the label '-1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_rows_that_cannot_be_used_are_reported(run: Callable[..., Ended], mistake: str) -> None:
    columns, reason, message = MISTAKES[mistake]

    ended = run(columns)

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.reason) == (ExitCode.DATA, reason)
    assert message in failure.message


def test_tags_unseen_in_training_are_reported(run: Callable[..., Ended]) -> None:
    rows = {"tokens": [["a", "film"], ["a", "book"]], "tags": [["O", "B-x"], ["O", "B-y"]]}
    split = {"train": {"split": "train[:1]"}, "evaluation": {"split": "train[1:]"}}

    ended = run(rows, dataset=split)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason) == (ExitCode.DATA, "UnknownLabel")
    assert "column 'tags' in row 2 of split 'train' (counted from 1) has the label 'B-y'" in (
        ended.final.failure.message
    )


def test_a_tokenizer_that_does_not_tell_words_apart_is_reported(
    run: Callable[..., Ended], model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*"))
    transformers.ByT5Tokenizer().save_pretrained(tmp_path / "model")

    ended = run(tagged(8), model={"source": f"file://{tmp_path}/model"})

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TokenizerNotFast")
