"""The tokenizer is there, knows the texts, and every token that it makes of them has an embedding; in all tasks."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import transformers
from ruamel.yaml import YAML
from tests.trainer.test_token_classification import tagged
from tests.trainer.tiny import VOCABULARY, Settings, Train, make_tokenizer
from tests.trainer.tiny_language import save_llama, save_t5, sentences, write_rows

from finetune_api.report import ExitCode
from finetune_api.sources import ModelSource
from finetune_trainer.__main__ import main
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.tokenizer import load_tokenizer


@pytest.fixture
def folder(model: Path, tmp_path: Path, settings: Settings) -> Path:
    """A copy of the model that the run begins with."""
    there = tmp_path / "model"
    transformers.AutoModel.from_pretrained(model).save_pretrained(there)
    make_tokenizer().save_pretrained(there)
    settings["model"]["source"] = f"file://{there}"
    return there


def prepared(settings: Settings, tmp_path: Path) -> int:
    YAML().dump(settings, tmp_path / "prepared.yaml")
    return main(["prepare", "--config", str(tmp_path / "prepared.yaml")])


def test_a_model_without_a_tokenizer_is_refused(settings: Settings, train: Train, tmp_path: Path, folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TokenizerMissing")
    assert "tokenizer.json and the like are not there" in ended.final.failure.message
    assert "tokenizer.json, or the vocabulary of its kind" in ended.said
    assert prepared(settings, tmp_path) == ExitCode.MODEL


@pytest.mark.parametrize(
    "model_type", ["bert", "roberta", "gpt2", "llama", "qwen2", "t5", "xlm-roberta", "mbart", "mistral"]
)
def test_no_kind_of_model_is_given_an_empty_tokenizer(tmp_path: Path, model_type: str) -> None:
    transformers.AutoConfig.for_model(model_type).save_pretrained(tmp_path)

    with pytest.raises(TrainerError) as raised:
        load_tokenizer(_at(tmp_path), ModelSource(source=f"file://{tmp_path}"))

    assert (raised.value.exit_code, raised.value.reason) == (ExitCode.MODEL, "TokenizerMissing")


def _at(folder: Path) -> Pretrained:
    return Pretrained(
        f"file://{folder}", str(folder), "sha256:", transformers.AutoConfig.from_pretrained(folder), folder
    )


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "kind"), [("t5", "ByT5Tokenizer"), ("canine", None), ("perceiver", None)])
def test_tokenizers_of_bytes_and_characters_need_no_vocabulary(
    tmp_path: Path, model_type: str, kind: str | None
) -> None:
    transformers.AutoConfig.for_model(model_type).save_pretrained(tmp_path)
    if kind:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))

    tokenizer = load_tokenizer(_at(tmp_path), ModelSource(source=f"file://{tmp_path}"))

    assert len(tokenizer("three")["input_ids"]) >= 5


def test_a_vocabulary_of_words_in_a_text_file_is_enough(tmp_path: Path) -> None:
    transformers.AutoConfig.for_model("bert").save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY[:4], "[MASK]", *VOCABULARY[4:]]))

    tokenizer = load_tokenizer(_at(tmp_path), ModelSource(source=f"file://{tmp_path}"))

    assert tokenizer.convert_ids_to_tokens(tokenizer("the film")["input_ids"]) == ["[CLS]", "the", "film", "[SEP]"]


def test_a_vocabulary_of_pieces_without_its_merges_is_reported_by_what_is_there(tmp_path: Path) -> None:
    transformers.AutoConfig.for_model("gpt2").save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))

    with pytest.raises(TrainerError) as raised:
        load_tokenizer(_at(tmp_path), ModelSource(source=f"file://{tmp_path}"))

    assert raised.value.reason == "TokenizerMissing"
    assert "of its files there are vocab.json" in raised.value.message
    assert "merges.txt" in (raised.value.hint or "")


def classes(settings: Settings, folder: Path) -> None:
    add(folder / "model", "novel")
    columns = {"text": ["the film was fine", "the novel was poor", "a novel", "dull"], "label": ["x", "y", "x", "y"]}
    datasets.Dataset.from_dict(columns).save_to_disk(folder / "rows")
    settings["dataset"] = {"source": f"file://{folder}/rows", "train": {"split": "train"}}


def tags(settings: Settings, folder: Path) -> None:
    add(folder / "model", "novel")
    rows = tagged(3)
    rows["tokens"][1] = ["novel"]
    rows["tags"][1] = ["O"]
    datasets.Dataset.from_dict(rows).save_to_disk(folder / "rows")
    settings["dataset"] = {"source": f"file://{folder}/rows", "train": {"split": "train"}}


def texts_to_go_on_with(settings: Settings, folder: Path) -> None:
    add(save_llama(folder / "model"), "novel")
    rows = [{"text": "the sky is blue"}, {"text": "the novel is red"}]
    settings["dataset"] = {"source": f"file://{write_rows(folder / 'rows.jsonl', rows)}", "train": {"split": "train"}}


def targets(settings: Settings, folder: Path) -> None:
    add(save_t5(folder / "model"), "novel")
    rows = [{"text": "the sky is", "target": "blue"}, {"text": "the sea is", "target": "novel"}]
    settings["dataset"] = {"source": f"file://{write_rows(folder / 'rows.jsonl', rows)}", "train": {"split": "train"}}


def add(folder: Path, word: str) -> None:
    """A token to the tokenizer, without an embedding in the model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([word])
    tokenizer.save_pretrained(folder)


TASKS: dict[str, Callable[[Settings, Path], None]] = {
    "text-classification": classes, "token-classification": tags, "causal-lm": texts_to_go_on_with, "seq2seq": targets,
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_token_without_an_embedding_is_reported_with_its_row(
    settings: Settings, train: Train, tmp_path: Path, folder: Path, task: str
) -> None:
    settings |= {"task": task, "evaluation": {}}
    TASKS[task](settings, tmp_path)

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TokensWithoutEmbedding")
    count = transformers.AutoModel.from_pretrained(tmp_path / "model").get_input_embeddings().num_embeddings
    assert (
        f"the token 'novel' in row 2 of split 'train' (counted from 1) has the id {count}, and the model has "
        f"embeddings for {count} tokens only (0 to {count - 1})"
    ) in ended.final.failure.message
    assert "model.resize_token_embeddings(len(tokenizer))" in ended.said
    assert prepared(settings, tmp_path) == ExitCode.MODEL


def test_a_token_that_no_text_has_is_reported_and_does_no_harm(
    settings: Settings, train: Train, tmp_path: Path, folder: Path
) -> None:
    add(folder, "novel")

    ended = train(settings)

    assert ended.code == 0
    assert [warning.reason for warning in ended.final.warnings or ()] == ["TokensWithoutEmbedding"]
    assert "1 tokens that the model has no embedding for, such as 'novel' with the id 18: it has 18" in ended.said


def test_more_embeddings_than_tokens_are_usual(settings: Settings, train: Train, folder: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(32)
    model.save_pretrained(folder)

    ended = train(settings)

    assert (ended.code, ended.final.warnings or []) == (0, [])


def test_a_padding_token_without_an_embedding_is_refused(settings: Settings, train: Train, folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TokensWithoutEmbedding")
    assert "the padding token '<pad>' has the id 18" in ended.final.failure.message


def test_texts_that_the_tokenizer_does_not_know_are_refused(settings: Settings, train: Train, tmp_path: Path) -> None:
    columns = {"text": ["добрый день", "хорошо", "плохо", "и"], "label": ["x", "y", "x", "y"]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "rows")
    settings |= {"evaluation": {}}
    settings["dataset"] = {"source": f"file://{tmp_path}/rows", "train": {"split": "train"}}

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TextsUnknown")
    assert "100% of the tokens of split 'train' are '[UNK]'" in ended.final.failure.message


def test_a_notable_share_of_unknown_words_is_reported_with_its_size(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    columns = {
        "text": ["the film was fine", "the film was мелодичный", "a dull day", "dull"],
        "label": ["x", "y", "x", "y"],
    }
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "rows")
    settings |= {"evaluation": {}}
    settings["dataset"] = {"source": f"file://{tmp_path}/rows", "train": {"split": "train"}}

    ended = train(settings)

    assert ended.code == 0
    assert [warning.reason for warning in ended.final.warnings or ()] == ["TextsOftenUnknown"]
    assert "8% of the tokens of split 'train' are '[UNK]'" in ended.said, "one of the twelve words"


def test_a_tokenizer_of_bytes_has_no_unknown_words_though_it_names_a_token_for_them(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    folder = save_llama(tmp_path / "llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.unk_token = tokenizer.eos_token  # as GPT-2's
    tokenizer.save_pretrained(folder)
    settings |= {"task": "causal-lm", "evaluation": {}, "model": {"source": f"file://{folder}"}}
    rows = [{"text": "blue"} for _ in range(4)]  # half of the tokens are ends
    settings["dataset"] = {"source": f"file://{write_rows(tmp_path / 'rows.jsonl', rows)}", "train": {"split": "train"}}

    ended = train(settings)

    assert (ended.code, ended.final.warnings or []) == (0, [])


@pytest.fixture
def padded_otherwise(tmp_path: Path, settings: Settings) -> Path:
    """A Llama that classifies, whose config.json names another padding token than its tokenizer has."""
    folder = save_llama(tmp_path / "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model.config.pad_token_id = 2
    model.generation_config.pad_token_id = 2
    model.save_pretrained(folder)
    rows = [{"text": f"{row['text']} </s>", "label": "xy"[number % 2]} for number, row in enumerate(sentences() * 2)]
    rows += [{"text": "the", "label": "x"}]
    settings |= {"model": {"source": f"file://{folder}"}, "evaluation": {}}
    settings["dataset"] = {"source": f"file://{write_rows(tmp_path / 'rows.jsonl', rows)}", "train": {"split": "train"}}
    return folder


def test_each_engine_reads_the_padding_of_the_tokenizer_and_exports_it(
    settings: Settings, train: Train, tmp_path: Path, padded_otherwise: Path
) -> None:
    losses = {}
    for engine in ("trainer", "pytorch"):
        settings["training"] = {
            "engine": engine,
            "epochs": 1,
            "batchSize": 13,
            "arguments": {"lr_scheduler_type": "constant"},
        }
        settings["output"] = {"uri": f"file://{tmp_path}/{engine}"}

        ended = train(settings)

        assert ended.code == 0
        losses[engine] = {metric.name: float(metric.value) for metric in ended.final.metrics}["loss"]
        exported = transformers.AutoConfig.from_pretrained(tmp_path / engine / "model")
        assert exported.pad_token_id == 0
    assert losses["pytorch"] == pytest.approx(losses["trainer"], rel=1e-5)


def test_a_start_of_the_decoder_without_an_embedding_is_refused(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    folder = save_t5(tmp_path / "t5")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"decoder_start_token_id": 250004}))
    rows = [{"text": "the sky is", "target": "blue"}]
    settings |= {"task": "seq2seq", "evaluation": {}, "model": {"source": f"file://{folder}"}}
    settings["dataset"] = {"source": f"file://{write_rows(tmp_path / 'rows.jsonl', rows)}", "train": {"split": "train"}}

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "TokensWithoutEmbedding")
    assert "decoder_start_token_id of its config.json has the id 250004" in ended.final.failure.message
