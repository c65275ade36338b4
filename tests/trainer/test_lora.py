"""LoRA: what is trained, saved, resumed and exported."""

import json
from pathlib import Path

import peft
import pytest
import safetensors.torch
import torch
import transformers
from tests.s3_server import BUCKET, S3
from tests.trainer.test_buckets import move_to_another_machine
from tests.trainer.test_stop_and_resume import at_step, stopped
from tests.trainer.test_training import classify
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_trainer.models.loading import Loaded


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings["training"] |= {"lora": {"rank": 4}, "learningRate": 0.02}
    return settings


@pytest.mark.slow
def test_an_adapter_is_trained_and_exported_with_the_head(
    settings: Settings, train: Train, model: Path, tmp_path: Path
) -> None:
    settings["training"] |= {"epochs": 12, "learningRate": 0.01}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.9
    assert ended.final.provenance
    assert ended.final.provenance.versions
    assert ended.final.provenance.versions["peft"] == peft.__version__
    out = tmp_path / "out"
    assert sorted(path.relative_to(out / "model").as_posix() for path in (out / "model").rglob("*.*")) == [
        "adapter_config.json", "adapter_model.safetensors", "base/config.json", "eval_results.json", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    config = json.loads((out / "model" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["modules_to_save"]) == (
        str(model),
        4,
        ["classifier"],
    )
    newest = out / "checkpoints" / f"step-{ended.final.checkpoints[-1].step:06d}"
    assert not (newest / "model.safetensors").exists()
    assert (newest / "optimizer.pt").exists()

    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        model, config=transformers.AutoConfig.from_pretrained(out / "model" / "base")
    )
    adapted = peft.PeftModel.from_pretrained(base, str(out / "model"))
    tokens = transformers.AutoTokenizer.from_pretrained(out / "model")(["the film was awful"], return_tensors="pt")
    assert base.config.id2label[int(adapted(**tokens).logits.argmax())] == "bad"


@pytest.mark.slow
def test_an_adapter_is_merged_on_demand(settings: Settings, train: Train, tmp_path: Path) -> None:
    settings["training"] |= {"epochs": 6, "lora": {"rank": 4, "merge": True}}

    ended = train(settings)

    assert ended.code == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in (out / "model").iterdir()) == [
        "config.json", "eval_results.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert (out / "adapter" / "adapter_model.safetensors").exists()
    assert [classify(out / "model", f"the film was {word}") for word in ("awful", "lovely")] == ["bad", "good"]
    merged = transformers.AutoModelForSequenceClassification.from_pretrained(out / "model")
    config = transformers.AutoConfig.from_pretrained(out / "adapter" / "base")
    adapted = transformers.AutoModelForSequenceClassification.from_pretrained(out / "adapter", config=config)
    tokens = {"input_ids": torch.tensor([[2, 10, 11, 4, 3]])}
    torch.testing.assert_close(merged(**tokens).logits, adapted(**tokens).logits)
    assert train(settings).final.model == ended.final.model


def test_what_the_pretrained_model_lacks_is_trained_and_saved_with_the_adapter(
    settings: Settings, train: Train, model: Path, tmp_path: Path
) -> None:
    bare = transformers.BertModel.from_pretrained(model, add_pooling_layer=False)
    bare.save_pretrained(tmp_path / "bare")
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "bare")
    settings["model"]["source"] = f"file://{tmp_path}/bare"
    settings["training"]["epochs"] = 0.1

    assert train(settings).code == 0

    exported = tmp_path / "out" / "model"
    kept = ["bert.pooler.dense", "classifier"]
    assert json.loads((exported / "adapter_config.json").read_text())["modules_to_save"] == kept
    names = safetensors.torch.load_file(exported / "adapter_model.safetensors")
    assert {f"base_model.model.{name}.weight" for name in kept} <= names.keys()


def test_of_a_model_that_does_not_part_body_and_head_only_the_lacking_layer_is_saved_whole() -> None:
    with torch.device("meta"):
        t5 = transformers.T5ForConditionalGeneration(transformers.T5Config(num_layers=1))

    assert Loaded(t5, ["decoder.block.0.layer.0.SelfAttention.q.weight", "lm_head.weight"]).fresh_modules == [
        "decoder.block.0.layer.0.SelfAttention.q",
        "lm_head",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    settings["training"] |= {"engine": engine, "lora": {"dropout": 0.1}, "arguments": {"full_determinism": True}}
    whole = train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).final

    assert stopped(settings, train, at_step(5)).code == ExitCode.STOPPED
    resumed = train(settings).final

    assert resumed.resumed_from_step == 5
    assert resumed.evaluations == whole.evaluations
    assert resumed.model
    assert whole.model
    assert resumed.model.digest == whole.model.digest


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_activation_checkpointing_trains_the_same(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    settings["training"] |= {"engine": engine, "epochs": 0.5}
    plain = train(settings).final
    settings["training"]["arguments"] = {"activation_checkpointing": True}

    final = train(settings | {"output": {"uri": f"file://{tmp_path}/checkpointing"}}).final

    assert plain.model
    assert final.model
    assert final.model.digest == plain.model.digest


@pytest.mark.parametrize(
    ("targets", "message", "hint"),
    [
        (
            ["value", "q_proj"],
            "training.lora.targetModules: q_proj: the model has no such module",
            "there are dense, key, query, value; leave targetModules out for all of them",
        ),
        (
            ["querry"],
            "training.lora.targetModules: querry: the model has no such module; did you mean 'query'?",
            "there are dense, key, query, value; leave targetModules out for all of them",
        ),
    ],
)
def test_a_target_that_the_model_does_not_have_is_named(
    settings: Settings, train: Train, tmp_path: Path, targets: list[str], message: str, hint: str
) -> None:
    settings["training"]["lora"] = {"targetModules": targets}

    ended = train(settings)

    assert ended.code == ExitCode.BAD_CONFIGURATION
    assert ended.final.failure
    assert (ended.final.failure.message, ended.final.failure.hint) == (message, hint)
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_target_that_cannot_be_adapted_is_refused(settings: Settings, train: Train) -> None:
    settings["training"]["lora"] = {"targetModules": ["LayerNorm"]}

    ended = train(settings)

    assert ended.code == ExitCode.BAD_CONFIGURATION
    assert ended.final.failure
    assert ended.final.failure.message.startswith("training.lora.targetModules: Target module LayerNorm")
    assert ended.final.failure.hint == "these can be adapted: dense, key, query, value"


def test_quantized_weights_are_not_spread_over_processes(settings: Settings, train: Train) -> None:
    settings["training"] |= {"parallelism": "fsdp", "lora": {"quantization": "4bit"}}

    ended = train({**settings, "processesPerNode": 2})

    assert ended.code == ExitCode.BAD_CONFIGURATION
    assert ended.final.failure
    assert ended.final.failure.message.startswith("training.lora.quantization: quantized weights cannot be spread")


def test_quantization_without_bitsandbytes_is_reported_before_anything_is_read(
    settings: Settings, train: Train
) -> None:
    settings["training"]["lora"] = {"quantization": "4bit"}
    settings["model"]["source"] = "file:///nowhere"

    ended = train(settings)

    assert ended.code == ExitCode.BAD_CONFIGURATION
    assert ended.final.failure
    assert ended.final.failure.reason == "BitsAndBytesNotInstalled"


@pytest.mark.slow
def test_adapter_and_merged_model_reach_a_bucket_from_another_machine_than_began(
    settings: Settings, train: Train, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path.name
    settings |= {"output": {"uri": f"s3://{BUCKET}/{there}"}}
    settings["training"]["lora"] = {"rank": 4, "merge": True}
    assert stopped(settings, train, at_step(5)).code == ExitCode.STOPPED
    move_to_another_machine(monkeypatch, tmp_path)

    ended = train(settings)

    assert (ended.code, ended.final.resumed_from_step) == (0, 5)
    assert [name.removeprefix(f"{there}/") for name in s3.names(f"{there}/") if "/checkpoints/" not in name and "/logs/" not in name] == [
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/base/config.json",
        "adapter/tokenizer.json", "adapter/tokenizer_config.json", "history.jsonl", "model/config.json",
        "model/eval_results.json", "model/model.safetensors", "model/tokenizer.json", "model/tokenizer_config.json", "run.json",
    ]  # fmt: skip
