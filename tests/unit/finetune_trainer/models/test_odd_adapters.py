"""Adapters that are not as they should be: each is refused with what is wrong and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
import transformers
from tests.unit.finetune_trainer.models.odd_models import find, refused

from finetune_api.reasons import Reason
from finetune_trainer.models.adapted import adapted, merged


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


def test_an_adapter_in_whole_numbers_is_refused(adapter: Callable[..., Path], folder: Path) -> None:
    made = adapter(base_model_name_or_path=str(folder))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    safetensors.torch.save_file({name: torch.ones(2, 8, dtype=torch.int8)}, made / "adapter_model.safetensors")

    reason, message, _ = refused(made)

    assert (reason, message) == (
        Reason.WEIGHTS_DO_NOT_FIT,
        f", an adapter of file://{folder}, has 1 weights that are no fractions, such as {name}",
    )


@pytest.mark.parametrize("content", ["{", "[]"])
def test_the_configuration_that_an_adapter_brings_for_its_base_is_named_where_it_is_torn(
    adapter: Callable[..., Path], folder: Path, content: str
) -> None:
    made = adapter(base_model_name_or_path=str(folder))
    (made / "base").mkdir()
    (made / "base/config.json").write_text(content)

    reason, message, _ = refused(made)

    assert (reason, message.startswith(": config.json is no JSON object: ")) == (Reason.MODEL_UNREADABLE, True)


@pytest.mark.parametrize("do", [merged, adapted])
def test_what_a_part_computes_may_be_among_the_weights_that_an_adapter_has_of_it(
    tmp_path: Path, do: Callable[..., Any]
) -> None:
    config = transformers.GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "gpt2")
    model.name_or_path = str(tmp_path / "gpt2")
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["c_fc"], modules_to_save=["h.0.attn"])
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter/adapter_model.safetensors"
    mask = {"base_model.model.transformer.h.0.attn.bias": torch.ones(1, 1, 16, 16, dtype=torch.bool)}
    mask["base_model.model.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)  # both as transformers 4.30 has them
    safetensors.torch.save_file(safetensors.torch.load_file(path) | mask, path)

    found = find(tmp_path / "adapter").adapter

    assert found
    do(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2"), found.folder, found.source)


@pytest.mark.parametrize("place", ["get_peft_model", "set_peft_model_state_dict"])
def test_memory_that_ends_is_not_blamed_on_the_adapter(
    adapter: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    made = adapter(base_model_name_or_path=str(folder))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(peft, place, full)

    with pytest.raises(torch.OutOfMemoryError):
        adapted(model, made, "it")
