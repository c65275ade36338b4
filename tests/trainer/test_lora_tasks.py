"""Each task trains by an adapter, with either engine; what was merged is what was trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import peft
import pytest
import safetensors.torch
import torch
import transformers
from tests.trainer.test_token_classification import tagged
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import COLOUR_OF, questions, save_llama, save_t5, write_rows

from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import make_engine
from finetune_trainer.run import to_last_step as run

ENGINES = ["trainer", "pytorch"]


def tags(settings: Settings, folder: Path) -> None:
    datasets.Dataset.from_dict(tagged(48)).save_to_disk(folder / "rows")
    settings["dataset"]["source"] = f"file://{folder}/rows"


def answers(settings: Settings, folder: Path) -> None:
    settings["model"]["source"] = f"file://{save_llama(folder / 'llama')}"
    settings["dataset"]["source"] = f"file://{write_rows(folder / 'rows.jsonl', questions() * 4)}"


def sentences(settings: Settings, folder: Path) -> None:
    rows = [{"text": thing, "target": f"the {thing} is {colour}"} for thing, colour in COLOUR_OF.items()]
    settings["model"]["source"] = f"file://{save_t5(folder / 't5')}"
    settings["dataset"]["source"] = f"file://{write_rows(folder / 'rows.jsonl', rows * 4)}"


TASKS: dict[str, tuple[Callable[[Settings, Path], None], Any]] = {
    "token-classification": (tags, transformers.AutoModelForTokenClassification),
    "causal-lm": (answers, transformers.AutoModelForCausalLM),
    "seq2seq": (sentences, transformers.AutoModelForSeq2SeqLM),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("task", TASKS)
def test_a_task_trains_by_an_adapter(settings: Settings, train: Train, tmp_path: Path, task: str, engine: str) -> None:
    prepare, kind = TASKS[task]
    settings |= {"task": task, "evaluation": {}, "preprocessing": {"maxTargetLength": 8}}
    settings["dataset"] = {"train": {"split": "train"}, "evaluation": {"split": "train[:12]"}}
    prepare(settings, tmp_path)
    lora = {"rank": 8, "alpha": 32, "merge": True}
    settings["training"] = {"engine": engine, "epochs": 4, "learningRate": 0.02, "lora": lora}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    assert ended.final.curves
    first, *_, last = (value for _, value in ended.final.curves.points("eval_loss"))
    assert last < 0.8 * first
    out = tmp_path / "out"
    merged = kind.from_pretrained(out / "model")
    config = transformers.AutoConfig.from_pretrained(out / "adapter" / "base")
    base = kind.from_pretrained(settings["model"]["source"].removeprefix("file://"), config=config)
    adapted = peft.PeftModel.from_pretrained(base, str(out / "adapter")).eval()
    tokens = {"input_ids": torch.tensor([[6, 7, 8, 9]]), "labels": torch.tensor([[1, 2, 0, 1]])}
    torch.testing.assert_close(merged(**tokens).logits, adapted(**tokens).logits, rtol=1e-4, atol=1e-4)
    assert transformers.AutoTokenizer.from_pretrained(out / "model").pad_token == "[PAD]"


@pytest.mark.parametrize("engine", ENGINES)
def test_in_sixteen_bits_only_the_weights_that_are_not_trained_are_held_so(
    settings: Settings, train: Train, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def look(prepared: Prepared, *others: Any) -> Engine:
        for weight in prepared.model.parameters():
            held[weight.requires_grad].add(weight.dtype)
        return make_engine(prepared, *others)

    monkeypatch.setattr(run, "make_engine", look)
    settings["training"] = {
        "engine": engine, "epochs": 5, "learningRate": 0.02, "arguments": {"bf16": True},
        "lora": {"rank": 8, "merge": True},
    }  # fmt: skip

    ended = train(settings)

    assert held == {True: {torch.float32}, False: {torch.bfloat16}}
    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.8, "two thirds have the same label"
    out = tmp_path / "out"
    for weights in (out / "adapter/adapter_model.safetensors", out / "model/model.safetensors"):
        assert {weight.dtype for weight in safetensors.torch.load_file(weights).values()} == {torch.float32}
