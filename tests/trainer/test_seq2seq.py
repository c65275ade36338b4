"""Encoder-decoders learn to write one text from another."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.trainer.test_stop_and_resume import at_step, outcome, stopped
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import COLOUR_OF, save_t5, write_rows

from finetune_api.report import ExitCode

ENGINES = ["trainer", "pytorch"]
PREFIX = "what colour is the "


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A run of 60 epochs that learns the colours of six things."""
    rows = [{"text": f"{thing} ?", "target": f"the {thing} is {colour}"} for thing, colour in COLOUR_OF.items()]
    return {
        "task": "seq2seq",
        "model": {"source": f"file://{save_t5(tmp_path / 't5')}"},
        "dataset": {
            "source": f"file://{write_rows(tmp_path / 'rows.jsonl', rows)}",
            "train": {"split": "train"},
            "evaluation": {"split": "train"},
        },
        "preprocessing": {"sourcePrefix": PREFIX, "maxTargetLength": 8},
        "training": {"epochs": 60, "batchSize": 2, "learningRate": 0.005},
        "evaluation": {
            "strategy": "steps",
            "steps": 180,
            "metrics": ["rouge1", "rouge2", "rougeL", "sacrebleu", "chrf"],
        },
        "checkpoints": {"strategy": "steps", "steps": 180},
        "output": {"uri": f"file://{tmp_path}/out"},
        "gpus": 0,
    }


def use_rows(settings: Settings, folder: Path, rows: list[dict[str, Any]]) -> None:
    settings["dataset"]["source"] = f"file://{write_rows(folder / 'other.jsonl', rows)}"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_learns_to_write_and_is_evaluated_by_what_it_writes(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    settings["training"]["engine"] = engine

    ended = train(settings)

    metrics = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert metrics.pop("eval_loss") < 0.2
    assert metrics == pytest.approx(
        {"eval_rouge1": 1, "eval_rouge2": 1, "eval_rougeL": 1, "eval_sacrebleu": 100, "eval_chrf": 100}
    )
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out/model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out/model")
    written = model.generate(**tokenizer([f"{PREFIX}rose ?"], return_tensors="pt"), max_new_tokens=8)
    assert tokenizer.batch_decode(written) == ["[PAD] the rose is red </s>"]


@pytest.mark.slow
def test_accumulated_batches_train_as_the_large_one(settings: Settings, train: Train, tmp_path: Path) -> None:
    def logged(batch_size: int, accumulation: int) -> list[float]:
        arguments = {"train_sampling_strategy": "sequential", "gradient_accumulation_steps": accumulation}
        settings["training"] |= {"epochs": 2, "batchSize": batch_size, "arguments": {**arguments, "logging_steps": 1}}
        settings["output"] = {"uri": f"file://{tmp_path}/{accumulation}"}
        assert train(settings).code == 0
        lines = [json.loads(line) for line in (tmp_path / f"{accumulation}/history.jsonl").read_text().splitlines()]
        return [line["metrics"][name] for line in lines if line["kind"] == "log" for name in ("loss", "grad_norm")]

    assert logged(2, 3) == pytest.approx(logged(6, 1), rel=1e-3)


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_that_was_not(settings: Settings, train: Train, tmp_path: Path) -> None:
    settings["training"] |= {"epochs": 4}
    settings["evaluation"] = settings["checkpoints"] = {"strategy": "steps", "steps": 6}
    assert train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).code == 0

    ended = stopped(settings, train, at_step(5))
    resumed = train(settings)

    assert (ended.code, resumed.code, resumed.final.resumed_from_step) == (ExitCode.STOPPED, 0, 5)
    assert outcome(tmp_path / "out")[0] == outcome(tmp_path / "whole")[0]


@pytest.mark.parametrize("arguments", [{"label_smoothing_factor": 0.1}, {"per_device_eval_batch_size": 4}])
def test_arguments_that_need_the_decoder_s_inputs_or_other_batches_work(
    settings: Settings, train: Train, arguments: dict[str, Any]
) -> None:
    settings["training"] |= {"epochs": 1, "arguments": arguments}
    settings["evaluation"] = {}

    ended = train(settings)

    assert (ended.code, [metric.name for metric in ended.final.evaluations[-1].metrics]) == (
        0,
        ["eval_loss", "eval_rouge1", "eval_rouge2", "eval_rougeL"],
    )


@pytest.mark.parametrize(
    ("row", "preprocessing", "reason", "told"),
    [
        ({"text": "sky", "target": " "}, {}, "EmptyText", "column 'target' is empty in row 1 of split 'train'"),
        ({"text": "sky", "target": "\u200b"}, {}, "EmptyText", "column 'target' is empty in row 1 of split 'train'"),
        ({"text": "", "target": "blue"}, {}, "EmptyText", "column 'text' is empty in row 1 of split 'train'"),
        ({"text": "sky", "target": 3}, {}, "ColumnType", "column 'target' of split 'train' holds int64"),
        ({"text": "sky", "label": "blue"}, {}, "ColumnNotFound", "no column 'target', only text, label"),
        (
            {"text": "sky", "target": "the " * 8},
            {"truncation": False},
            "TextTooLong",
            "the target in row 1 of split 'train' (counted from 1) has 9 tokens, more than 8",
        ),
    ],
)
def test_rows_that_cannot_be_learnt_are_named(
    settings: Settings,
    train: Train,
    tmp_path: Path,
    row: dict[str, Any],
    preprocessing: dict[str, Any],
    reason: str,
    told: str,
) -> None:
    use_rows(settings, tmp_path, [row])
    settings["preprocessing"] |= preprocessing

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.reason) == (ExitCode.DATA, reason)
    assert told in failure.message


def test_a_model_that_cannot_write_one_text_from_another_is_refused(
    settings: Settings, train: Train, model: Path
) -> None:
    settings["model"]["source"] = f"file://{model}"

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.reason) == (ExitCode.MODEL, "TaskNotSupported")
    assert "cannot write one text from another" in failure.message
