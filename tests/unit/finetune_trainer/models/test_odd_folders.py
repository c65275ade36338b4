"""Folders of models and adapters that are not as they should be: each is refused with what is wrong and what to do."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tokenizers
import torch
import transformers

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.loading import load_model
from finetune_trainer.models.pretrained import Pretrained, find_pretrained

LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
LAYER = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Llama of one layer, without a tokenizer."""
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Makes an adapter with these settings."""

    def make(**settings: Any) -> Path:
        made = tmp_path / "adapter"
        made.mkdir()
        (made / "adapter_config.json").write_text(json.dumps(LORA | settings))
        name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
        safetensors.torch.save_file({name: torch.ones(2, 8)}, made / "adapter_model.safetensors")
        return made

    return make


def find(folder: Path) -> Pretrained:
    return find_pretrained(ModelSource(source=f"file://{folder}"), {})


def load(folder: Path, *, empty: bool = False) -> None:
    """Make a language model of what is found; of its shapes alone, if it is to be empty."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="b")
    settings = ModelSource(source=f"file://{folder}")
    load_model(transformers.AutoModelForCausalLM, replace(find(folder), empty=empty), settings, tokenizer)


def refused(folder: Path, do: Callable[[Path], object] = find) -> tuple[Reason, str, str]:
    """Reason, message and hint; the source is left out of the message, which begins with it."""
    with pytest.raises(TrainerError) as caught:
        do(folder)
    return caught.value.reason, caught.value.message.removeprefix(f"file://{folder}"), caught.value.hint or ""


@pytest.mark.parametrize(
    "name", ["../base", "./base", r"C:\models\bert", "my model", "  ", "a/b/c", "s3://", "x" * 600]
)
def test_a_base_that_is_no_source_is_refused_with_what_may_be_written_there(
    adapter: Callable[..., Path], name: str
) -> None:
    reason, message, hint = refused(adapter(base_model_name_or_path=name))

    assert (reason, message) == (
        Reason.BASE_NOT_NAMED,
        f" is an adapter, and what its adapter_config.json names as its base is no model's place: {name!r:.200}",
    )
    assert hint.startswith(
        "write into it, as base_model_name_or_path, where the base is: its id on the Hub (org/name), "
    )


@pytest.mark.parametrize("name", [5, 1.5, True, ["org/model"], {"name": "org/model"}])
def test_a_base_that_is_no_text_is_refused(adapter: Callable[..., Path], name: Any) -> None:
    reason, message, _ = refused(adapter(base_model_name_or_path=name))

    assert (reason, message) == (
        Reason.BASE_NOT_NAMED,
        f" is an adapter, and what its adapter_config.json names as its base is no model's place: {name!r}",
    )


@pytest.mark.parametrize("name", ["", None])
def test_an_adapter_that_names_no_base_is_refused(adapter: Callable[..., Path], name: Any) -> None:
    reason, message, _ = refused(adapter(base_model_name_or_path=name))

    assert (reason, message) == (
        Reason.BASE_NOT_NAMED,
        " is an adapter, and does not name the model that it belongs to",
    )


@pytest.mark.parametrize("revision", [5, ["main"], {"a": 1}])
def test_a_revision_that_is_none_is_refused(adapter: Callable[..., Path], revision: Any) -> None:
    reason, message, hint = refused(adapter(base_model_name_or_path="org/base", revision=revision))

    assert reason == Reason.BASE_NOT_NAMED
    assert message == f" is an adapter, and its adapter_config.json has no revision of its base, but {revision!r}"
    assert hint == "write a branch, a tag or a commit of org/base into it, or null"


@pytest.mark.parametrize("name", ["my models/llama", "100%25", "ümlaut", "a#b?c"])
def test_a_base_is_found_at_any_path_that_a_disk_may_have(
    adapter: Callable[..., Path], folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    folder.rename(tmp_path / name)

    found = find(adapter(base_model_name_or_path=str(tmp_path / name)))

    assert Path(found.place) == tmp_path / name


@pytest.mark.parametrize("name", ["llama", "./llama", "../{}/llama"])
def test_a_path_that_leads_to_the_base_from_here_is_followed(
    adapter: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)

    found = find(adapter(base_model_name_or_path=name.format(tmp_path.name)))

    assert Path(found.place) == folder


def test_an_adapter_of_an_adapter_is_refused_and_not_trained_without_the_other(
    adapter: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    inner = adapter(base_model_name_or_path=str(folder)).rename(tmp_path / "inner")

    reason, message, hint = refused(adapter(base_model_name_or_path=str(inner)))

    assert reason == Reason.ADAPTER_NOT_SUPPORTED
    assert message == f" is an adapter, and its base cannot be used: file://{inner} is itself an adapter"
    assert hint.startswith("merge that one into its own base by merge_and_unload, and name the result")


def test_an_adapter_that_is_its_own_base_is_refused(adapter: Callable[..., Path], tmp_path: Path) -> None:
    reason, message, _ = refused(adapter(base_model_name_or_path=str(tmp_path / "adapter")))

    assert (reason, message.endswith("is itself an adapter")) == (Reason.ADAPTER_NOT_SUPPORTED, True)


def test_what_is_wrong_with_a_base_that_is_there_keeps_its_remedy(adapter: Callable[..., Path], folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"torn")

    reason, _, hint = refused(adapter(base_model_name_or_path=str(folder)))

    assert (reason, hint.startswith("check that it was copied to its end")) == (Reason.MODEL_UNREADABLE, True)


@pytest.mark.parametrize(
    ("kind", "told", "remedy"),
    [
        ("IA3", "is of peft's type IA3", "merge it into its base by merge_and_unload"),
        (
            "PREFIX_TUNING",
            "is of peft's type PREFIX_TUNING",
            "set model.source to the base, and train an adapter by LoRA",
        ),
        (
            "PROMPT_TUNING",
            "is of peft's type PROMPT_TUNING",
            "set model.source to the base, and train an adapter by LoRA",
        ),
        ("OF_TOMORROW", "is of peft's type OF_TOMORROW", "set model.source to the base, and train an adapter by LoRA"),
        (
            None,
            "has no peft_type in its adapter_config.json",
            "set model.source to the base, and train an adapter by LoRA",
        ),
        (["LORA"], "is of peft's type ['LORA']", "set model.source to the base, and train an adapter by LoRA"),
    ],
)
def test_of_another_kind_of_adapter_only_what_can_be_merged_is_to_be_merged(
    adapter: Callable[..., Path], folder: Path, kind: Any, told: str, remedy: str
) -> None:
    reason, message, hint = refused(adapter(base_model_name_or_path=str(folder), peft_type=kind))

    assert reason == Reason.ADAPTER_NOT_SUPPORTED
    assert message == f", an adapter of file://{folder}, {told}: training goes on from LoRA alone"
    assert hint.startswith(remedy)


def in_parts(folder: Path, index: Any) -> None:
    """The weights in two files, with this index."""
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="2KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors.index.json").write_text(index if isinstance(index, str) else json.dumps(index))


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ({"metadata": {}}, "it has no weight_map"),
        ({"weight_map": []}, "it has no weight_map"),
        ({"weight_map": {}}, "it has no weight_map"),
        (["weight_map"], "it has no weight_map"),
        ({"weight_map": {"lm_head.weight": 5}}, "it names 5 as a file"),
        (
            {"weight_map": {"lm_head.weight": "../x/model-1.safetensors"}},
            "it names '../x/model-1.safetensors' as a file",
        ),
        ({"weight_map": {"lm_head.weight": "/etc/passwd"}}, "it names '/etc/passwd' as a file"),
        ({"weight_map": {"lm_head.weight": r"C:\x.safetensors"}}, r"it names 'C:\\x.safetensors' as a file"),
        ({"weight_map": {"lm_head.weight": ".."}}, "it names '..' as a file"),
        ('{"weight_map": {', "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_an_index_that_is_none_is_refused_by_what_it_has(folder: Path, index: Any, told: str) -> None:
    in_parts(folder, index)

    reason, message, hint = refused(folder)

    assert reason == Reason.MODEL_UNREADABLE
    assert message.startswith(f": model.safetensors.index.json does not tell which files hold the weights: {told}")
    assert hint == (
        "copy it again, or write it anew by save_pretrained: its weight_map names for each weight a file beside it"
    )


def test_a_part_that_is_missing_is_named_with_the_remedy(folder: Path) -> None:
    in_parts(folder, {"weight_map": {"lm_head.weight": "model-00009-of-00009.safetensors"}})

    reason, message, hint = refused(folder)

    assert (reason, message) == (
        Reason.WEIGHTS_MISSING,
        " lacks model-00009-of-00009.safetensors, which its model.safetensors.index.json names",
    )
    assert hint == "copy all files of the model, this one too; a copy that was cut off may be gone on with"


@pytest.mark.parametrize(
    ("prefix", "who"),
    [
        ("module.", "DistributedDataParallel (module.)"),
        ("_orig_mod.", "torch.compile (_orig_mod.)"),
        ("module._orig_mod.", "DistributedDataParallel (module.) and torch.compile (_orig_mod.)"),
        ("base_model.model.", "peft (base_model.model.)"),
        ("net.", "another module around the model"),
    ],
)
def test_names_that_begin_with_what_was_around_the_model_are_explained(folder: Path, prefix: str, who: str) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    named = {f"{prefix}{name}": weight for name, weight in weights.items()}
    safetensors.torch.save_file(named, folder / "model.safetensors", {"format": "pt"})

    reason, message, hint = refused(folder, load)

    assert reason == Reason.WEIGHTS_DO_NOT_FIT
    assert message.startswith(": weights are missing (")
    assert hint == (
        f"in the files the names of weights begin with {prefix}, as {who} leaves them: take that away, or save the model "
        "that is within by save_pretrained"
    )


def test_an_adapter_within_the_weights_is_explained(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights[LAYER.replace("weight", "base_layer.weight")] = weights.pop(LAYER)
    weights[LAYER.replace("weight", "lora_A.default.weight")] = torch.ones(2, 8)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})

    reason, message, hint = refused(folder, load)

    assert reason == Reason.WEIGHTS_DO_NOT_FIT
    assert LAYER in message
    assert hint == "an adapter is among the weights: merge it into them by merge_and_unload, and save the result"


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (["model"], "the model is in model"),
        (["checkpoints/step-000012", "checkpoints/step-000006", "model"], "the model is in model"),
        (["checkpoints/step-000006", "checkpoints/step-000012"], "the newest model is in checkpoints/step-000012"),
        (["checkpoint-500", "checkpoint-1000"], "the newest model is in checkpoint-1000"),
        (["first", "second"], "there are models in first, second"),
    ],
)
def test_of_a_folder_with_models_in_it_the_one_is_named(
    folder: Path, tmp_path: Path, places: list[str], told: str
) -> None:
    out = tmp_path / "out"
    for place in places:
        (out / place).mkdir(parents=True)
        (out / place / "config.json").write_text("{}")

    reason, message, hint = refused(out)

    assert (reason, message) == (Reason.MODEL_NOT_FOUND, f": there is no config.json in {out}, but {told}")
    last = told.rpartition(" ")[2]
    assert hint == f"set model.source to the folder itself, such as file://{out}/{last}"


def configured(folder: Path, **fields: Any) -> Path:
    path = folder / "config.json"
    kept = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in kept.items() if value != "left out"}))
    return folder


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_type": "lama"}, "model_type is 'lama', which transformers .+ does not know; did you mean 'llama'?"),
        ({"model_type": "left out"}, "it has no model_type"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope_parameters.rope_type is 'spiral', which transformers .+"),
        ({"hidden_act": "silly"}, "hidden_act is 'silly', which transformers .+ does not know"),
        (
            {"hidden_size": "wide"},
            "Validation error for field 'hidden_size': TypeError: Field 'hidden_size' expected int",
        ),
        ({"num_attention_heads": 3}, ".*The hidden size .8. is not a multiple of the number of attention heads"),
        ({"num_attention_heads": 0}, "ZeroDivisionError: "),
        ({"vocab_size": -1}, "Trying to create tensor with negative dimension"),
        ({"rope_parameters": {"rope_type": "linear"}}, "Missing required keys in `rope_parameters`"),
    ],
)
def test_a_configuration_of_which_no_model_can_be_made_is_to_blame_and_not_the_files(
    folder: Path, fields: dict[str, Any], told: str
) -> None:
    configured(folder, **fields)

    reason, message, hint = refused(folder, partial(load, empty=True))

    assert reason == Reason.MODEL_CONFIG_WRONG
    assert re.match(f": no model can be made of what its config.json says: {told}", message), message
    assert "a model that is newer than transformers" in hint


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "it holds a list"),
        (b"null", "it holds a NoneType"),
        (b"", "Expecting value: line 1 column 1"),
        (b'{"a": 1', "Expecting ',' delimiter: line 1 column 8"),
        (b"\xff\xfe{", "'utf-8' codec can't decode"),
    ],
)
def test_settings_that_are_no_json_object_are_named(
    folder: Path, adapter: Callable[..., Path], name: str, content: bytes, told: str
) -> None:
    there = folder if name == "config.json" else adapter()
    (there / name).write_bytes(content)

    reason, message, hint = refused(there)

    assert reason == Reason.MODEL_UNREADABLE
    assert message.startswith(f": {name} is no JSON object: {told}")
    assert hint == "copy it again: it was cut off, or is another file"
