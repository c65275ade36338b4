"""Input and output embeddings that are one weight by the configuration: what is trained, and that the export is the same model."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from tests.trainer.test_weights import causal, change, configure, without
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import save_t5

from finetune_api.report import ExitCode

Model = Any
TOKENS = torch.tensor([[6, 7, 8, 9]])


def language(folder: Path) -> Model:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def logits(model: Model) -> torch.Tensor:
    labels = {"decoder_input_ids": TOKENS} if model.config.is_encoder_decoder else {}
    found: torch.Tensor = model(input_ids=TOKENS, **labels).logits.detach()
    return found


def tied(settings: Settings, folder: Path) -> Path:
    """A Llama whose output layer is its embeddings."""
    there = causal(settings, folder)
    configure(there, tie_word_embeddings=True)
    change(there, without("lm_head"))
    return there


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_two_that_the_configuration_calls_one_are_trained_as_two_and_exported_so(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    folder = causal(settings, tmp_path)
    configure(folder, tie_word_embeddings=True)
    settings["training"] |= {"engine": engine, "learningRate": 1e-12}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    assert [warning.reason for warning in ended.final.warnings or ()] == ["EmbeddingsDiffer"]
    assert json.loads((tmp_path / "out/model/config.json").read_text())["tie_word_embeddings"] is False
    torch.testing.assert_close(logits(language(tmp_path / "out/model")), logits(language(folder)))


@pytest.mark.parametrize("twice", [True, False])
def test_one_stays_one_also_where_the_file_has_it_twice(
    settings: Settings, train: Train, tmp_path: Path, twice: bool
) -> None:
    folder = tied(settings, tmp_path)
    if twice:
        change(folder, lambda weights: weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()})

    ended = train(settings)

    assert (ended.code, ended.final.failure, ended.final.warnings or []) == (0, None, [])
    exported = language(tmp_path / "out/model")
    assert exported.config.tie_word_embeddings is True
    assert exported.lm_head.weight is exported.model.embed_tokens.weight


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["lm_head", "embed_tokens"], ["q_proj"]])
def test_an_adapter_of_one_of_the_two_is_merged_into_that_one_alone(
    settings: Settings, train: Train, tmp_path: Path, targets: list[str]
) -> None:
    folder = tied(settings, tmp_path)
    settings["training"] |= {"epochs": 3, "learningRate": 0.05, "lora": {"targetModules": targets, "merge": True}}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    exported = language(tmp_path / "out/model")
    expected = peft.PeftModel.from_pretrained(language(folder), str(tmp_path / "out/adapter")).eval()
    assert (logits(expected) - logits(language(folder))).abs().max() > 0.01
    torch.testing.assert_close(logits(exported), logits(expected), rtol=1e-4, atol=1e-4)
    assert exported.config.tie_word_embeddings is (targets == ["q_proj"])


ADAPTERS = [
    {"target_modules": ["lm_head"]},
    {"target_modules": ["q"]},
    {"target_modules": ["q"], "modules_to_save": ["lm_head"]},
    {"target_modules": ["q"], "trainable_token_indices": {"embed_tokens": [6, 7]}},
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_an_adapter_of_peft_is_added_to_tied_weights_as_peft_adds_it(
    settings: Settings, train: Train, tmp_path: Path, adapter: dict[str, Any], merge: bool, kind: str
) -> None:
    if kind == "t5" and "trainable_token_indices" in adapter:
        adapter = adapter | {"trainable_token_indices": {"shared": [6, 7]}}
    task = "SEQ_2_SEQ_LM" if kind == "t5" else "CAUSAL_LM"
    folder = tied(settings, tmp_path)
    auto: Any = transformers.AutoModelForCausalLM
    if kind == "t5":
        folder, auto = save_t5(tmp_path / "t5"), transformers.AutoModelForSeq2SeqLM
        (tmp_path / "rows.jsonl").write_text('{"text": "what is the sky", "target": "the sky is blue"}\n' * 8)
        settings |= {"task": "seq2seq", "preprocessing": {"maxTargetLength": 16}}
    else:
        adapter = adapter | {"target_modules": [name.replace("q", "q_proj") for name in adapter["target_modules"]]}
    made: Any = peft.get_peft_model(auto.from_pretrained(folder), peft.LoraConfig(task_type=task, r=2, **adapter))
    torch.manual_seed(1)
    for weight in made.parameters():
        if weight.requires_grad:
            weight.data += torch.randn_like(weight) * 0.2
    made.save_pretrained(tmp_path / "adapter")
    settings["model"]["source"] = f"file://{tmp_path}/adapter"
    settings["training"] = {"epochs": 1, "batchSize": 4, "learningRate": 1e-12} | (
        {"lora": {"merge": True}} if merge else {}
    )

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (ExitCode.SUCCESS, None)
    expected = peft.PeftModel.from_pretrained(auto.from_pretrained(folder), str(tmp_path / "adapter")).eval()
    base = logits(auto.from_pretrained(folder).eval())
    assert (logits(expected) - base).abs().max() > 0.01
    exported = auto.from_pretrained(tmp_path / "out/model").eval()
    torch.testing.assert_close(logits(exported), logits(expected), rtol=1e-4, atol=1e-4)
