"""Pretrained weights that are NaN or infinite end a run before its first step, by their names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
import transformers
from tests.trainer.test_weights import FP8, causal, change, configure, in_eight_bits
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import VOCABULARY

from finetune_api.report import ExitCode

NAN, INFINITE = float("nan"), float("inf")
UP = "model.layers.0.mlp.up_proj.weight"


def spoilt(name: str, value: float, dtype: torch.dtype | None = None) -> Callable[[Any], Any]:
    """All weights, in `dtype` if one is given, and one number of one of them is `value`."""

    def spoil(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        kept = {key: weight.to(dtype or weight.dtype) for key, weight in weights.items()}
        kept[name].view(-1)[5] = value
        return kept

    return spoil


def refused(settings: Settings, train: Train) -> tuple[int, str, str, str]:
    """Code, reason, message and hint of a run that did no step."""
    ended = train(settings)
    failure = ended.final.failure
    assert failure
    assert ended.final.progress is None or ended.final.progress.step == 0
    return ended.code, failure.reason, failure.message, failure.hint or ""


def refused_as_not_finite(settings: Settings, train: Train) -> str:
    """Message of such a run, which is refused for weights that are no numbers."""
    code, reason, message, _ = refused(settings, train)
    assert (code, reason) == (ExitCode.MODEL, "WeightsNotFinite")
    return message


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_a_number_that_is_none_is_refused_by_tensor_and_file(
    settings: Settings, train: Train, tmp_path: Path, engine: str, value: float
) -> None:
    folder = causal(settings, tmp_path)
    change(folder, spoilt(UP, value))
    settings["training"]["engine"] = engine

    code, reason, message, hint = refused(settings, train)

    assert (code, reason) == (ExitCode.MODEL, "WeightsNotFinite")
    assert message == (
        f"file://{folder}: 1 of its 12 weights holds NaN or infinite numbers, which no training makes good: "
        f"{UP} (model.safetensors)"
    )
    assert "an earlier checkpoint" in hint


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_type_are_looked_at_as_well(
    settings: Settings, train: Train, tmp_path: Path, dtype: torch.dtype
) -> None:
    change(causal(settings, tmp_path), spoilt("lm_head.weight", NAN, dtype))

    message = refused_as_not_finite(settings, train)

    assert message.endswith("lm_head.weight (model.safetensors)")


def test_scales_in_eight_bit_weights_are_looked_at_as_well(settings: Settings, train: Train, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    kept, _ = in_eight_bits(safetensors.torch.load_file(folder / "model.safetensors"))
    change(folder, lambda _: kept | {f"{UP}_scale_inv": torch.full((1, 1), NAN)})
    configure(folder, quantization_config=FP8)

    message = refused_as_not_finite(settings, train)

    assert message.endswith(f"{UP} (model.safetensors)")


def test_of_weights_in_several_files_the_one_is_named(settings: Settings, train: Train, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    change(folder, spoilt(UP, NAN))
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    held = next(path for path in folder.glob("model-*") if UP in safetensors.torch.load_file(path))

    message = refused_as_not_finite(settings, train)

    assert message.endswith(f"{UP} ({held.name})")


def test_weights_as_torch_saves_them_are_looked_at_as_well(settings: Settings, train: Train, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    change(folder, spoilt(UP, NAN))
    torch.save(safetensors.torch.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    message = refused_as_not_finite(settings, train)

    assert message.endswith(f"{UP} (pytorch_model.bin)")


def test_a_name_that_lacks_the_bodys_prefix_in_its_file_is_found_in_it(
    settings: Settings, train: Train, model: Path, tmp_path: Path
) -> None:
    weights = safetensors.torch.load_file(model / "model.safetensors")
    spoil = spoilt("encoder.layer.0.output.dense.bias", NAN)
    transformers.AutoModel.from_pretrained(model).save_pretrained(tmp_path / "bert")
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "bert")
    safetensors.torch.save_file(spoil(weights), tmp_path / "bert/model.safetensors", {"format": "pt"})
    settings["model"]["source"] = f"file://{tmp_path}/bert"

    message = refused_as_not_finite(settings, train)

    assert message.endswith("bert.encoder.layer.0.output.dense.bias (model.safetensors)")


@pytest.mark.parametrize("lora", [{}, None])
def test_an_adapter_is_looked_at_as_well(settings: Settings, train: Train, tmp_path: Path, lora: Any) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(causal(settings, tmp_path))
    adapter = tmp_path / "adapter"
    peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])).save_pretrained(
        adapter
    )
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    weights = safetensors.torch.load_file(adapter / "adapter_model.safetensors")
    safetensors.torch.save_file(spoilt(name, NAN)(weights), adapter / "adapter_model.safetensors")
    settings["model"]["source"] = f"file://{adapter}"
    if lora is not None:
        settings["training"]["lora"] = lora

    code, reason, message, _ = refused(settings, train)

    assert (code, reason) == (ExitCode.MODEL, "WeightsNotFinite")
    assert message == (
        f"file://{adapter}: 1 of its 2 weights holds NaN or infinite numbers, which no training makes good: "
        f"{name} (adapter_model.safetensors)"
    )


def test_the_base_of_an_adapter_is_named_where_it_is_to_blame(settings: Settings, train: Train, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM")).save_pretrained(tmp_path / "adapter")
    change(folder, spoilt(UP, NAN))
    settings["model"]["source"] = f"file://{tmp_path}/adapter"

    code, reason, message, _ = refused(settings, train)

    assert (code, reason) == (ExitCode.MODEL, "WeightsNotFinite")
    assert message.startswith(f"file://{folder}: 1 of its 12 weights holds ")


def test_an_infinite_mask_that_the_model_keeps_as_a_buffer_is_no_fault(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    folder = causal(settings, tmp_path)
    change(folder, lambda weights: weights | {"model.layers.0.self_attn.masked_bias": torch.tensor(-INFINITE)})

    assert train(settings).code == ExitCode.SUCCESS


def test_an_infinite_bias_that_no_learning_changes_is_no_fault(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    transformers.set_seed(0)
    folder = causal(settings, tmp_path)
    config = transformers.MarianConfig(
        vocab_size=len(VOCABULARY), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=128, pad_token_id=0,
        decoder_start_token_id=0, eos_token_id=2, bad_words_ids=None, forced_eos_token_id=2,
    )  # fmt: skip
    model: Any = transformers.MarianMTModel(config)
    model.final_logits_bias[0, 5] = -INFINITE  # a token that is never written
    model.save_pretrained(folder)
    (tmp_path / "rows.jsonl").write_text('{"text": "what is the sky", "target": "the sky is blue"}\n' * 8)
    settings |= {"task": "seq2seq"}

    assert train(settings).code == ExitCode.SUCCESS


def with_output_bias(settings: Settings, folder: Path, value: float) -> None:
    """A Phi with one token more than the tokenizer has, and this bias of it in the output layer."""
    there = causal(settings, folder)
    (there / "model.safetensors").unlink()
    config = transformers.PhiConfig(
        vocab_size=len(VOCABULARY) + 1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        pad_token_id=0, bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    model: Any = transformers.PhiForCausalLM(config)
    model.lm_head.bias.data[-1] = value
    model.save_pretrained(there)


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_token_that_is_never_written_may_have_a_bias_of_minus_infinity(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    with_output_bias(settings, tmp_path, -INFINITE)
    settings["training"]["engine"] = engine

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    exported = safetensors.torch.load_file(tmp_path / "out/model/model.safetensors")
    assert [name for name, weight in exported.items() if not weight.isfinite().all()] == ["lm_head.bias"]
    assert exported["lm_head.bias"].isneginf().nonzero().tolist() == [[len(VOCABULARY)]]


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_no_bias_of_a_token_is_anything_else_that_is_not_finite(
    settings: Settings, train: Train, tmp_path: Path, value: float
) -> None:
    with_output_bias(settings, tmp_path, value)

    message = refused_as_not_finite(settings, train)

    assert message.endswith("lm_head.bias (model.safetensors)")
