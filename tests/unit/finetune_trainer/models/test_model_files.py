"""What a model's files say never leads to code of the Hub: each way to it is refused before anything is loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoTokenizer, BertConfig, GenerationConfig, T5Config, T5ForConditionalGeneration

from finetune_api.report import ExitCode
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models import pretrained
from finetune_trainer.models.model_files import check_generates_by_itself, check_runs_no_code, read_settings
from finetune_trainer.models.pretrained import find_pretrained

KERNEL = "kernels-community/flash-attn2"
WAYS: list[tuple[dict[str, Any], str]] = [
    ({"_attn_implementation": KERNEL}, "_attn_implementation"),
    ({"attn_implementation": f"{KERNEL}@main:forward"}, "attn_implementation"),
    ({"_attn_implementation_internal": "stranger/kernel"}, "_attn_implementation_internal"),
    ({"attn_implementation": {"": "sdpa", "text_config": KERNEL}}, "attn_implementation"),
    ({"text_config": {"attn_implementation": KERNEL}}, "text_config.attn_implementation"),
    # Not installed here: transformers would take a kernel of the Hub in its place.
    ({"_attn_implementation": "flash_attention_2"}, "_attn_implementation"),
    ({"_attn_implementation": "flash_attention_4"}, "_attn_implementation"),
    ({"attn_implementation": "paged|stranger/kernel"}, "attn_implementation"),
    ({"attn_implementation": ["sdpa"]}, "attn_implementation"),
    ({"_experts_implementation": "deepgemm"}, "_experts_implementation"),
    ({"experts_implementation": {"": "sonicmoe"}}, "experts_implementation"),
    ({"use_kernels": True}, "use_kernels"),
    ({"kernel_config": {"RMSNorm": "stranger/norm:RMSNorm"}}, "kernel_config"),
    ({"allow_all_kernels": True}, "allow_all_kernels"),
    ({"custom_generate": "stranger/generate"}, "custom_generate"),
    ({"registered_name": "stranger>Model", "module": "stranger"}, "registered_name"),
]
FINE: list[dict[str, Any]] = [
    {"_attn_implementation": None, "use_kernels": False, "experts_implementation": "grouped_mm"},
    {"attn_implementation": {"": "eager", "text_config": "sdpa"}},
    {"_attn_implementation_autoset": True},
    # Without trust_remote_code it leads nowhere, and many models that transformers knows have it from before.
    {"auto_map": {"AutoModel": "stranger/code--modeling.Model"}},
]


def model_folder(folder: Path, config: dict[str, Any]) -> ModelSource:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    return ModelSource(source=f"file://{folder}")


@pytest.mark.parametrize(("config", "field"), WAYS, ids=[field for _, field in WAYS])
def test_a_field_that_leads_to_code_of_the_hub_is_refused_by_name_before_anything_is_loaded(
    config: dict[str, Any], field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = model_folder(tmp_path, config)
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **__: pytest.fail("something is loaded"))

    with pytest.raises(TrainerError) as caught:
        find_pretrained(settings, {})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.MODEL, "ModelNeedsCode")
    assert f"config.json: {field}" in caught.value.message


@pytest.mark.parametrize("config", FINE)
def test_what_is_part_of_transformers_is_taken(config: dict[str, Any]) -> None:
    check_runs_no_code(config, "config.json", "org/name")


def test_a_configuration_that_comes_from_another_file_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = model_folder(tmp_path, {"configuration_files": ["config.4.0.0.json"]})
    (tmp_path / "config.4.0.0.json").write_text(json.dumps({"model_type": "bert", "_attn_implementation": KERNEL}))
    monkeypatch.setattr(pretrained, "local_tensors", lambda *_: pytest.fail("weights are read"))

    with pytest.raises(TrainerError) as caught:
        find_pretrained(settings, {})

    assert caught.value.reason == "ModelNeedsCode"
    assert BertConfig(attn_implementation=KERNEL)._attn_implementation == KERNEL


def test_an_adapter_does_not_name_modules_to_import(tmp_path: Path) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "megatron_core": "antigravity"}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**adapter, "megatron_config": {"x": 1}}))

    with pytest.raises(TrainerError) as caught:
        find_pretrained(ModelSource(source=f"file://{tmp_path}"), {})

    assert caught.value.reason == "ModelNeedsCode"
    assert "adapter_config.json: megatron_config" in caught.value.message


@pytest.mark.parametrize("ways", [{"penalty_alpha": 0.6, "top_k": 4}, {"num_beams": 4, "num_beam_groups": 2}])
def test_a_way_to_generate_that_was_moved_to_the_hub_is_refused_before_the_training(ways: dict[str, Any]) -> None:
    sizes = {"d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2, "vocab_size": 16}
    model = T5ForConditionalGeneration(T5Config(**sizes))
    check_generates_by_itself(model, "org/name")
    model.generation_config = GenerationConfig(**ways)

    with pytest.raises(TrainerError) as caught:
        check_generates_by_itself(model, "org/name")

    assert "generation_config.json asks for" in caught.value.message


@pytest.mark.slow
def test_the_program_has_no_kernels_of_the_hub_even_where_their_package_is_installed(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("raise SystemExit('code of the Hub would come by this')")
    (tmp_path / "kernels-0.15.2.dist-info").mkdir()
    (tmp_path / "kernels-0.15.2.dist-info" / "METADATA").write_text("Name: kernels\nVersion: 0.15.2\n")
    looked_for = "from transformers.utils.import_utils import is_kernels_available as found; print(found('0', '99'))"
    guard = "from finetune_trainer.__main__ import _quiet_libraries; _quiet_libraries();"

    def answer(program: str) -> str:
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        return subprocess.run([sys.executable, "-c", path + program], capture_output=True, text=True).stdout.strip()

    assert (answer(looked_for), answer(guard + looked_for)) == ("True", "False")


FILES = [
    "config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "vocab.txt",
    "merges.txt", "chat_template.jinja", "model.safetensors.index.json",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8-sig", "begins with a byte order mark"),
        ("utf-16", "is written in UTF-16, and not in UTF-8"),
    ],
)
def test_a_file_that_is_no_plain_utf_8_is_named_with_the_remedy(
    tmp_path: Path, name: str, encoding: str, told: str
) -> None:
    settings = model_folder(tmp_path, {})
    (tmp_path / name).write_text('{"model_type": "bert"}', encoding=encoding)

    with pytest.raises(TrainerError) as caught:
        find_pretrained(settings, {})

    assert (caught.value.reason, caught.value.message) == ("ModelUnreadable", f"file://{tmp_path}: {name} {told}")
    assert (caught.value.hint or "").startswith("save it as UTF-8 without a byte order mark: ")


@pytest.mark.parametrize(("content", "told"), [(b'{"a": "\xe9"}', "is not UTF-8"), (b"{\0}\0", "is written in UTF-16")])
def test_a_configuration_in_another_encoding_is_not_told_as_cut_off(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(TrainerError) as caught:
        find_pretrained(ModelSource(source=f"file://{tmp_path}"), {})

    assert (caught.value.reason, told in caught.value.message) == ("ModelUnreadable", True)


def test_a_file_of_others_may_be_written_as_they_like(tmp_path: Path) -> None:
    model_folder(tmp_path, {})
    (tmp_path / "notes.txt").write_text("read me", encoding="utf-16")

    assert read_settings(tmp_path / "config.json", "it") == {"model_type": "bert"}


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/nonexistent/blob"), Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", [*FILES[1:], "notes.txt"])
def test_what_has_the_name_of_a_file_and_is_none_is_no_part_of_a_model(folder: Path, name: str, make: Any) -> None:
    (folder / name).unlink(missing_ok=True)
    make(folder / name)

    found = find_pretrained(ModelSource(source=f"file://{folder}"), {})

    assert (found.config.model_type, found.revision[:7]) == ("llama", "sha256:")


def test_a_vocabulary_that_nobody_reads_beside_a_tokenizer_json_may_begin_with_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    model_folder(tmp_path, {})
    (tmp_path / "vocab.txt").write_text("a\nb\nc", encoding="utf-8-sig")
    words = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    words.save(str(tmp_path / "tokenizer.json"))

    assert read_settings(tmp_path / "config.json", "it") == {"model_type": "bert"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert {word for word in tokenizer.get_vocab() if word not in tokenizer.all_special_tokens} == {"a", "b"}
