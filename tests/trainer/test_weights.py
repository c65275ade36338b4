"""Weights that are not those of the model, not all of them, or none at all: nothing is trained on what was made up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers
from ruamel.yaml import YAML
from tests.trainer.tiny import LONGEST, VOCABULARY, Settings, Train, make_tokenizer
from tests.trainer.tiny_language import VOCABULARY as LANGUAGE
from tests.trainer.tiny_language import save_llama, save_t5, sentences, word_tokenizer, write_rows

from finetune_api.report import ExitCode
from finetune_api.sources import ModelSource
from finetune_trainer.__main__ import main
from finetune_trainer.models.loading import load_model
from finetune_trainer.models.pretrained import find_pretrained
from finetune_trainer.models.tokenizer import load_tokenizer
from finetune_trainer.models.weight_files import local_tensors

Weights = dict[str, torch.Tensor]


@pytest.fixture
def both(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Callable[[Settings], tuple[int, str, str, int, str]]:
    """Runs `prepare`, then the run. Returns code and words of the one, then reason, code and words of the other."""

    def run(settings: Settings) -> tuple[int, str, str, int, str]:
        YAML().dump(settings, tmp_path / "prepared.yaml")
        code = main(["prepare", "--config", str(tmp_path / "prepared.yaml")])
        said = caplog.text
        ended = train(settings)
        failure = ended.final.failure
        return code, said, failure.reason if failure else "", ended.code, failure.message if failure else ended.said

    return run


@pytest.fixture
def bert(tmp_path: Path, settings: Settings) -> Path:
    """A BERT of three layers as pretrained by masked words: with a head for them, and without a pooler."""
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST,
    )  # fmt: skip
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    settings["model"]["source"] = f"file://{tmp_path}/bert"
    return tmp_path / "bert"


def change(folder: Path, how: Callable[[Weights], Weights]) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    kept = {name: weight.contiguous() for name, weight in how(weights).items()}
    safetensors.torch.save_file(kept, folder / "model.safetensors", {"format": "pt"})


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: weight for name, weight in weights.items() if part not in name}


def configure(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.slow
def test_heads_that_masked_words_leave_and_a_pooler_that_they_lack_are_what_a_classifier_begins_with(
    settings: Settings, both: Any, bert: Path
) -> None:
    code, _, reason, ended, said = both(settings)

    assert (code, reason, ended) == (0, "", 0)
    assert (
        f"file://{bert} has no weights for bert.pooler.dense.bias, bert.pooler.dense.weight, classifier.bias, "
        "classifier.weight: they start at random, and are learnt"
    ) in said


def test_a_layer_that_the_weights_lack_ends_the_run_by_its_name(settings: Settings, both: Any, bert: Path) -> None:
    change(bert, without(".layer.2."))

    code, prepared, reason, ended, said = both(settings)

    assert (code, reason, ended) == (ExitCode.MODEL, "WeightsDoNotFit", ExitCode.MODEL)
    told = "weights are missing (16 of 57: bert.encoder.layer.2.attention.output.LayerNorm.bias, "
    assert told in prepared
    assert told in said


def test_a_single_vector_that_the_weights_lack_ends_the_run(settings: Settings, both: Any, bert: Path) -> None:
    change(bert, without("layer.1.output.LayerNorm.bias"))

    code, _, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
    assert "(1 of 57: bert.encoder.layer.1.output.LayerNorm.bias)" in said


def test_a_layer_that_the_configuration_does_not_name_is_not_dropped_in_silence(
    settings: Settings, both: Any, bert: Path
) -> None:
    configure(bert, num_hidden_layers=2)

    code, prepared, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
    assert "weights are left over (bert.encoder.layer.2.attention.output.LayerNorm.bias, " in said
    assert "weights are left over (bert.encoder.layer.2.attention.output.LayerNorm.bias, " in prepared


def test_names_of_before_and_what_is_computed_are_read_as_ever(settings: Settings, both: Any, bert: Path) -> None:
    def older(weights: Weights) -> Weights:
        named = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
            for name, weight in weights.items()
        }
        return named | {"bert.embeddings.position_ids": torch.arange(LONGEST)[None]}

    change(bert, older)

    assert both(settings)[:4:3] == (0, 0)


def test_weights_of_the_body_alone_are_read(settings: Settings, both: Any, bert: Path) -> None:
    transformers.AutoModel.from_pretrained(bert).save_pretrained(bert)

    assert both(settings)[:4:3] == (0, 0)


def test_a_language_model_without_its_output_layer_is_refused(settings: Settings, both: Any, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    change(folder, without("lm_head"))

    code, _, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
    assert "weights are missing (1 of 12: lm_head.weight)" in said


@pytest.mark.parametrize("kind", ["Marian", "Pegasus"])
def test_positions_that_are_computed_need_not_be_in_the_files_and_are_not_learnt(
    settings: Settings, both: Any, tmp_path: Path, kind: str
) -> None:
    transformers.set_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(LANGUAGE), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=128, pad_token_id=0,
        decoder_start_token_id=0, eos_token_id=2, bad_words_ids=None, forced_eos_token_id=2,
    )  # fmt: skip
    kept = transformers.AutoModelForSeq2SeqLM.from_config(config)
    kept.save_pretrained(tmp_path / "model")
    word_tokenizer(ends=True).save_pretrained(tmp_path / "model")
    change(tmp_path / "model", without("embed_positions"))
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "what is the sky", "target": "the sky is blue"}] * 8)
    settings |= {"task": "seq2seq", "model": {"source": f"file://{tmp_path}/model"}, "evaluation": {}}
    settings["dataset"] = {"source": f"file://{rows}", "train": {"split": "train"}}
    settings["training"] = {"engine": "trainer", "epochs": 1, "batchSize": 2, "learningRate": 0.01}

    code, _, reason, ended, said = both(settings)

    assert (code, ended, reason) == (ExitCode.SUCCESS, ExitCode.SUCCESS, ""), said
    model = loaded(transformers.AutoModelForSeq2SeqLM, tmp_path / "out/model")
    positions = {name: weight for name, weight in model.named_parameters() if "embed_positions" in name}
    assert len(positions) == 2
    for name, weight in positions.items():
        torch.testing.assert_close(weight, kept.state_dict()[name], rtol=0, atol=0)
        assert not weight.requires_grad  # or the run would learn what the export has not


def test_an_encoder_decoder_whose_decoder_is_not_whole_is_refused(
    settings: Settings, both: Any, tmp_path: Path
) -> None:
    folder = save_t5(tmp_path / "t5")
    change(folder, without("decoder.block.0.layer.1."))
    settings |= {"task": "seq2seq", "model": {"source": f"file://{folder}"}, "evaluation": {}}
    settings["dataset"] = {
        "source": f"file://{write_rows(tmp_path / 'rows.jsonl', pairs())}",
        "train": {"split": "train"},
    }

    code, _, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
    assert "decoder.block.0.layer.1.EncDecAttention.k.weight" in said


def pairs() -> list[dict[str, str]]:
    return [{"text": row["text"], "target": row["text"]} for row in sentences()]


def causal(settings: Settings, folder: Path) -> Path:
    """A run of causal-lm on a tiny Llama."""
    there = save_llama(folder / "llama")
    settings |= {"task": "causal-lm", "model": {"source": f"file://{there}"}, "evaluation": {}}
    settings["dataset"] = {
        "source": f"file://{write_rows(folder / 'rows.jsonl', sentences())}", "train": {"split": "train"}
    }  # fmt: skip
    settings["training"] = {"epochs": 1, "batchSize": 4}
    return there


def in_eight_bits(weights: Weights) -> tuple[Weights, Weights]:
    """The layers in FP8 beside one scale each, and what they are in full."""
    kept, full = dict(weights), dict(weights)
    for name, weight in weights.items():
        if "proj.weight" in name:
            scale = (weight.abs().max() / 448).reshape(1, 1)
            kept[name] = (weight / scale).to(torch.float8_e4m3fn)
            kept[f"{name}_scale_inv"] = scale
            full[name] = kept[name].float() * scale
    return kept, full


FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def loaded(kind: Any, folder: Path) -> Any:
    settings = ModelSource(source=f"file://{folder}")
    pretrained = find_pretrained(settings, {})
    return load_model(kind, pretrained, settings, load_tokenizer(pretrained, settings)).model


def test_weights_in_eight_bits_are_brought_back_by_their_scales(settings: Settings, both: Any, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    kept, full = in_eight_bits(safetensors.torch.load_file(folder / "model.safetensors"))
    change(folder, lambda _: kept)
    configure(folder, quantization_config=FP8)

    model = loaded(transformers.AutoModelForCausalLM, folder)

    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, full[name], rtol=1e-6, atol=0)
    assert both(settings)[:4:3] == (0, 0)
    exported = transformers.AutoConfig.from_pretrained(tmp_path / "out/model")
    assert not hasattr(exported, "quantization_config")


def test_scales_that_no_configuration_explains_end_the_run(settings: Settings, both: Any, tmp_path: Path) -> None:
    folder = causal(settings, tmp_path)
    change(folder, lambda weights: in_eight_bits(weights)[0])

    code, _, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
    assert "weights are left over (model.layers.0.mlp.down_proj.weight_scale_inv, " in said


def test_experts_in_four_bits_are_brought_back(tmp_path: Path) -> None:
    # The values that four bits stand for: https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    config = transformers.GptOssConfig(
        vocab_size=19, hidden_size=64, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, num_local_experts=2, num_experts_per_tok=1, max_position_embeddings=64,
        pad_token_id=0, eos_token_id=2, bos_token_id=None,
    )  # fmt: skip
    folder = save_llama(tmp_path / "experts")
    transformers.GptOssForCausalLM(config).save_pretrained(folder)
    blocks = torch.randint(0, 256, (2, 64, 2, 16), dtype=torch.uint8)
    scales = torch.randint(124, 130, (2, 64, 2), dtype=torch.uint8)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    down = {
        "model.layers.0.mlp.experts.down_proj_blocks": torch.zeros(2, 64, 1, 16, dtype=torch.uint8),
        "model.layers.0.mlp.experts.down_proj_scales": torch.full((2, 64, 1), 127, dtype=torch.uint8),
    }
    change(
        folder,
        lambda weights: {
            **{key: weight for key, weight in weights.items() if not key.endswith(("gate_up_proj", "down_proj"))},
            f"{name}_blocks": blocks, f"{name}_scales": scales, **down,
        },
    )  # fmt: skip
    configure(folder, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": []})

    model = loaded(transformers.AutoModelForCausalLM, folder)

    nibbles = torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2).long()
    expected = (values[nibbles] * 2.0 ** (scales[..., None].float() - 127)).flatten(-2).transpose(1, 2)
    torch.testing.assert_close(model.state_dict()[name].float(), expected)


@pytest.mark.parametrize(
    ("quantized", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "compressed-tensors"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "hqq"}, "hqq"),
        ({"quant_method": "torchao"}, "torchao"),
        ({"quant_method": "of-tomorrow"}, "of-tomorrow"),
    ],
)
def test_weights_that_cannot_be_brought_back_are_refused_by_the_name_of_their_method(
    settings: Settings, both: Any, tmp_path: Path, quantized: dict[str, Any], method: str
) -> None:
    configure(causal(settings, tmp_path), quantization_config=quantized)

    code, prepared, reason, ended, said = both(settings)

    assert (code, reason, ended) == (ExitCode.MODEL, "ModelIsQuantized", ExitCode.MODEL)
    assert f"are quantized by {method}, and cannot be trained" in said
    assert f"are quantized by {method}" in prepared


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_in_place_of_a_file_is_reported(settings: Settings, both: Any, bert: Path, name: str) -> None:
    (bert / name).write_bytes(POINTER)

    code, prepared, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "FileIsLfsPointer")
    assert f"{name} is a git LFS pointer" in said
    assert f"{name} is a git LFS pointer" in prepared


def as_pickle(path: Path) -> None:
    torch.save({"a": torch.ones(2)}, path)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "file not fully covered"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "invalid header length"),
        (lambda path: path.write_bytes(b""), "header too small"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><title>Sign in</title>"), "it is a web page"),
        (as_pickle, "it is a zip archive, as torch.save writes"),
    ],
)
def test_weights_that_are_none_are_reported_before_anything_is_read(
    settings: Settings, both: Any, bert: Path, spoil: Callable[[Path], None], what: str
) -> None:
    spoil(bert / "model.safetensors")

    code, prepared, reason, ended, said = both(settings)

    assert (code, reason, ended) == (ExitCode.MODEL, "ModelUnreadable", ExitCode.MODEL)
    assert "model.safetensors holds no weights that can be read: " in said
    assert said.endswith(what)
    assert "model.safetensors holds no weights" in prepared


def test_a_torn_part_of_weights_in_several_files_is_reported(settings: Settings, both: Any, bert: Path) -> None:
    transformers.AutoModelForMaskedLM.from_pretrained(bert).save_pretrained(bert, max_shard_size="20KB")
    (bert / "model.safetensors").unlink(missing_ok=True)
    part = max(bert.glob("model-*.safetensors"))
    part.write_bytes(part.read_bytes()[:-1])

    code, _, reason, _, said = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "ModelUnreadable")
    assert part.name in said


@pytest.mark.slow
def test_weights_as_torch_saves_them_are_compared_by_their_shapes(settings: Settings, both: Any, bert: Path) -> None:
    weights = safetensors.torch.load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    torch.save(weights, bert / "pytorch_model.bin")
    found = local_tensors(bert, "it")
    assert found
    assert {name: tensor.shape for name, tensor in found.items()} == {
        name: weight.shape for name, weight in weights.items()
    }
    assert both(settings)[:4:3] == (0, 0)
    shutil.rmtree(settings["output"]["uri"].removeprefix("file://"))
    torch.save(
        {name: weight for name, weight in weights.items() if ".layer.2." not in name}, bert / "pytorch_model.bin"
    )

    code, _, reason, _, _ = both(settings)

    assert (code, reason) == (ExitCode.MODEL, "WeightsDoNotFit")
