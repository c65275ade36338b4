"""Adapters on weights in 4 and 8 bits: `make test-qlora`, since bitsandbytes is not in the environment of the others."""

import json
import re
from pathlib import Path

import datasets
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.trainer.test_stop_and_resume import at_step, stopped
from tests.trainer.test_training import classify
from tests.trainer.tiny import LONGEST, VOCABULARY, Settings, Train, make_tokenizer

from finetune_api.report import ExitCode

pytestmark = pytest.mark.qlora


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A BERT whose layers are wide enough for a block of 64 weights; it has no pooler, which starts at random then."""
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST, initializer_range=0.2, hidden_dropout_prob=0.0,
    )  # fmt: skip
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_on_quantized_weights_learns_and_is_merged_into_the_full_ones(
    settings: Settings, train: Train, tmp_path: Path, base: Path, data: Path, bits: str
) -> None:
    settings["model"]["source"] = f"file://{base}"
    settings["training"] |= {"epochs": 6, "learningRate": 0.01, "lora": {"quantization": bits, "merge": True}}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.9
    assert ended.final.provenance
    assert "bitsandbytes" in (ended.final.provenance.versions or {})
    out = tmp_path / "out"
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["modules_to_save"] == [
        "bert.pooler.dense",
        "classifier",
    ]
    merged = load_file(out / "model" / "model.safetensors")
    assert {weight.dtype for weight in merged.values()} == {torch.float32}
    embeddings = "bert.embeddings.word_embeddings.weight"
    pretrained = load_file(base / "model.safetensors")[embeddings.removeprefix("bert.")]
    torch.testing.assert_close(merged[embeddings], pretrained, rtol=0, atol=0)
    assert [classify(out / "model", f"the film was {word}") for word in ("awful", "lovely")] == ["bad", "good"]
    told = next(one.message for one in ended.final.warnings or () if one.reason == "MergedModelDiffers")
    assert f"beside a base in {bits}, and is merged into the full one: the exported model has eval_loss " in told
    losses = re.search(r"eval_loss (\S+) \((\S+)\)", told)
    assert losses
    assert float(losses[1]) == pytest.approx(evaluated(out / "model", data), rel=1e-3)
    # The last word has room for the last evaluation alone.
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    best = next(
        line for line in history if line["kind"] == "evaluation" and line["step"] == ended.final.best_checkpoint.step
    )
    assert float(losses[2]) == pytest.approx(best["metrics"]["eval_loss"], rel=1e-3)
    assert ", eval_accuracy " in told


def evaluated(folder: Path, data: Path) -> float:
    """Mean loss over the evaluation rows, row by row."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = datasets.load_dataset(
        "csv", data_files=str(data / "test.csv"), split="train", cache_dir=str(folder / "rows")
    )
    losses = [
        model(
            **tokenizer(row["text"], return_tensors="pt"), labels=torch.tensor([model.config.label2id[row["label"]]])
        ).loss
        for row in rows
    ]
    return float(torch.stack(losses).mean())


def test_a_stopped_run_on_quantized_weights_ends_as_if_it_had_not_been_stopped(
    settings: Settings, train: Train, tmp_path: Path, base: Path
) -> None:
    settings["model"]["source"] = f"file://{base}"
    settings["training"] |= {"lora": {"quantization": "4bit"}, "arguments": {"full_determinism": True}}
    whole = train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).final

    assert stopped(settings, train, at_step(5)).code == ExitCode.STOPPED
    resumed = train(settings).final

    assert resumed.resumed_from_step == 5
    assert resumed.model
    assert whole.model
    assert resumed.model.digest == whole.model.digest


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused_though_it_is_quantized(
    settings: Settings, train: Train, base: Path, bits: str, value: str
) -> None:
    weights = load_file(base / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][3, 5] = float(value)
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    settings["model"]["source"] = f"file://{base}"
    settings["training"]["lora"] = {"quantization": bits}

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "WeightsNotFinite")
    assert "bert.encoder.layer.0.output.dense.weight (model.safetensors)" in ended.final.failure.message
