"""A tokenizer is made of its own files: what their settings lead to elsewhere would be its vocabulary, and be exported with the model."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.tokenizer import load_tokenizer

WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n"
SECRET = "<secret>"
"""Stands for the path of one in the cases."""
CASES: list[tuple[str, str, Any, bool]] = [
    ("tokenizer_config.json", "vocab", SECRET, False),
    ("tokenizer_config.json", "vocab_file", SECRET, True),
    ("tokenizer_config.json", "init_inputs", [SECRET], False),
    ("tokenizer_config.json", "gguf_file", SECRET, True),
    ("special_tokens_map.json", "vocab_file", SECRET, True),
    ("special_tokens_map.json", "vocab", SECRET, True),
    ("special_tokens_map.json", "extra", {"inner": [SECRET]}, True),
    ("tokenizer_config.json", "merges_file", "/proc/self/environ", True),
    ("tokenizer_config.json", "tokenizer_file", SECRET, True),
    ("special_tokens_map.json", "tokenizer_file", SECRET, True),
]
"""File, field, its value, and whether the tokenizer has a vocabulary of its own."""


def tokenizer_folder(folder: Path, vocabulary: bool = True) -> Pretrained:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    if vocabulary:
        (folder / "vocab.txt").write_text(WORDS)
    return Pretrained("file:///model", str(folder), "sha256:0", BertConfig(), folder)


def write(folder: Path, name: str, **fields: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **fields}))


@pytest.mark.parametrize(("name", "field", "value", "vocabulary"), CASES)
def test_a_field_that_leads_to_another_file_is_refused_by_name_before_that_is_read(
    name: str, field: str, value: Any, vocabulary: bool, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n[UNK]\n")
    pretrained = tokenizer_folder(tmp_path / "model", vocabulary)
    write(tmp_path / "model", name, **json.loads(json.dumps({field: value}).replace(SECRET, str(secret))))

    with pytest.raises(TrainerError) as refused:
        load_tokenizer(pretrained, "file:///model")

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.MODEL, "ModelUnreadable")
    assert refused.value.message.startswith(f"file:///model: in its {name}, {field}")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("kind", ["BertTokenizer", "PreTrainedTokenizerFast", "GPT2Tokenizer"])
def test_the_file_that_a_tokenizer_was_once_read_from_is_no_obstacle_beside_its_own(kind: str, tmp_path: Path) -> None:
    """Earlier versions of transformers saved its path, as of a cache of one's own, which may be there still."""
    former, elsewhere = tokenizer_folder(tmp_path / "model"), tmp_path / "tokenizer.json"
    load_tokenizer(former, "file:///model").save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").unlink()
    own = tmp_path / "model" / "tokenizer.json"
    elsewhere.write_text(own.read_text().replace('"word"', '"hunter2"'))
    write(tmp_path / "model", "tokenizer_config.json", tokenizer_file=str(elsewhere), tokenizer_class=kind)

    words = load_tokenizer(former, "file:///model").get_vocab()

    assert ("word" in words, "hunter2" in words) == (True, False)


def test_what_saving_leaves_in_the_settings_of_where_files_were_is_no_obstacle(tmp_path: Path) -> None:
    pretrained, elsewhere = tokenizer_folder(tmp_path / "model"), tmp_path / "elsewhere.json"
    elsewhere.write_text("{}")
    write(
        tmp_path / "model",
        "tokenizer_config.json",
        name_or_path=str(elsewhere),
        special_tokens_map_file=str(elsewhere),
        tokenizer_file="/not/there/tokenizer.json",
        vocab_file=str(tmp_path / "model" / "vocab.txt"),
        chat_template="/" * 5000,
        pad_token="[PAD]\0",
    )

    tokenizer = load_tokenizer(pretrained, "file:///model")

    assert tokenizer.tokenize("word") == ["word"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", '{"model": {"type": "Silly"}}'),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": -5}, "unk_token": "a"}}'),
    ],
)
def test_files_of_which_no_tokenizer_can_be_made_are_named(tmp_path: Path, name: str, content: str) -> None:
    pretrained = tokenizer_folder(tmp_path / "model")
    (tmp_path / "model" / name).write_text(content)

    with pytest.raises(TrainerError) as refused:
        load_tokenizer(pretrained, "file:///model")

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.MODEL, "TokenizerMissing")
    assert name in refused.value.message
