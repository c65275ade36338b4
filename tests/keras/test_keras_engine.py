"""Runs of the whole program by the engine keras: they leave what those of the other engines leave."""

import json
import math
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import transformers
from tests.trainer.test_stop_and_resume import at_step, in_stage, outcome, stopped
from tests.trainer.tiny import Ended, Settings, Train, texts

from finetune_api.report import ExitCode

pytestmark = pytest.mark.keras


def shape(ended: Ended) -> dict[str, Any]:
    """All in the final report that engines must agree on to the letter."""
    final = ended.final
    assert final.progress
    assert final.provenance
    return {
        "code": ended.code,
        "progress": final.progress.model_copy(update={"samples_per_second": None}),
        "metrics": sorted(metric.name for metric in final.metrics),
        "evaluations": [
            (entry.step, entry.epoch, [metric.name for metric in entry.metrics]) for entry in final.evaluations
        ],
        "checkpoints": [(saved.step, saved.epoch, Path(saved.uri).name) for saved in final.checkpoints],
        "best": final.best_checkpoint and (final.best_checkpoint.step, final.best_checkpoint.metric),
        "fingerprint": final.provenance.dataset_fingerprint,
    }


def numbers(history: list[dict[str, Any]]) -> dict[tuple[str, int, str], float]:
    return {(line["kind"], line["step"], name): v for line in history for name, v in line["metrics"].items()}


def test_one_manifest_leads_all_three_engines_to_the_same_status_and_nearly_the_same_numbers(
    settings: Settings, train: Train, tmp_path: Path, steady: Path
) -> None:
    settings["model"]["source"] = f"file://{steady}"
    settings["training"]["arguments"] = {
        "gradient_accumulation_steps": 5, "warmup_steps": 2, "weight_decay": 0.1, "logging_steps": 1,
    }  # fmt: skip
    settings["training"] |= {"epochs": 2.5, "batchSize": 4, "learningRate": 0.01}
    ended, measured, files = {}, {}, {}
    for engine in ("trainer", "pytorch", "keras"):
        settings["training"]["engine"] = engine
        ended[engine] = train(settings | {"output": {"uri": f"file://{tmp_path}/{engine}"}})
        measured[engine] = numbers(outcome(tmp_path / engine)[1])
        files[engine] = sorted(path.name for path in (tmp_path / engine / "model").iterdir())

    assert shape(ended["trainer"])["progress"].total_steps == 13
    assert shape(ended["keras"]) == shape(ended["pytorch"]) == shape(ended["trainer"])
    provenance = ended["keras"].final.provenance
    assert provenance
    assert set(provenance.versions) >= {"keras", "keras-hub", "torch", "transformers"}
    assert files["keras"] == files["pytorch"] == files["trainer"]
    for engine in ("pytorch", "keras"):
        assert measured[engine] == pytest.approx(measured["trainer"], rel=1e-3, abs=1e-5)


def test_the_exported_model_is_a_transformers_model_that_answers_as_keras_did(
    keras_settings: Settings, train: Train, tmp_path: Path
) -> None:
    keras_settings["training"]["epochs"] = 6

    final = train(keras_settings).final

    assert final.best_checkpoint
    assert final.curves
    assert final.curves.training
    assert final.curves.evaluation
    assert final.curves.training.names == ("loss", "learning_rate", "grad_norm")
    assert final.curves.evaluation.names == ("eval_loss", "eval_accuracy")
    assert float(final.best_checkpoint.value) > 0.9
    classify = transformers.pipeline("text-classification", model=str(tmp_path / "out" / "model"), device="cpu")
    rows = texts(30, seed=1)
    answers = [answer["label"] for answer in classify(rows["text"])]
    accuracy = np.mean([answer == label for answer, label in zip(answers, rows["label"], strict=True)])
    assert f"{accuracy:.6g}" == final.best_checkpoint.value


@pytest.mark.parametrize(
    ("arm", "saved"),
    [
        pytest.param(at_step(4), 4, id="within an epoch"),
        pytest.param(in_stage("Evaluating"), 6, id="in an evaluation"),
        pytest.param(in_stage("Saving"), 6, id="while saving"),
        pytest.param(at_step(12), 12, id="at the last step"),
    ],
)
def test_a_stopped_run_saves_exits_143_and_ends_as_if_it_had_not_been_stopped(
    keras_settings: Settings, train: Train, tmp_path: Path, arm: Any, saved: int
) -> None:
    keras_settings["training"]["arguments"] = {"gradient_accumulation_steps": 2}
    assert train(keras_settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).code == 0
    weights, history = outcome(tmp_path / "whole")

    ended = stopped(keras_settings, train, arm)
    assert (ended.code, ended.final.failure) == (ExitCode.STOPPED, None)
    assert ended.final.checkpoints[-1].step == saved

    resumed = train(keras_settings)
    assert (resumed.code, resumed.final.resumed_from_step) == (0, saved)
    own_weights, own_history = outcome(tmp_path / "out")
    assert own_weights == weights
    evaluations = [line for line in history if line["kind"] == "evaluation"]
    assert [line for line in own_history if line["kind"] == "evaluation"] == evaluations


def test_pairs_several_labels_and_numbers_are_learnt(keras_settings: Settings, train: Train, tmp_path: Path) -> None:
    rows = texts(48)
    pair = {"text": rows["text"], "other": rows["text"][::-1], "label": rows["label"]}
    several = {
        "text": rows["text"],
        "label": [[label] if number % 2 else [label, "odd"] for number, label in enumerate(rows["label"])],
    }
    number = {"text": rows["text"], "label": [1.5 if label == "good" else -1.5 for label in rows["label"]]}
    keras_settings["evaluation"] = {}
    found = {}
    for name, columns in {"pair": pair, "several": several, "number": number}.items():
        splits = {
            "train": datasets.Dataset.from_dict(columns),
            "test": datasets.Dataset.from_dict(columns).select(range(12)),
        }
        datasets.DatasetDict(splits).save_to_disk(tmp_path / f"{name}-rows")
        keras_settings["dataset"]["source"] = f"file://{tmp_path}/{name}-rows"
        keras_settings["dataset"]["columns"] = {"textPair": "other"} if name == "pair" else {}
        ended = train(keras_settings | {"output": {"uri": f"file://{tmp_path}/{name}"}})
        assert ended.code == 0, ended.said
        losses = [line["metrics"]["eval_loss"] for line in outcome(tmp_path / name)[1] if line["kind"] == "evaluation"]
        assert losses[-1] < losses[0]
        found[name] = json.loads((tmp_path / name / "model" / "config.json").read_text())["problem_type"]

    assert found == {
        "pair": "single_label_classification",
        "several": "multi_label_classification",
        "number": "regression",
    }


def test_bfloat16_trains(keras_settings: Settings, train: Train) -> None:
    keras_settings["training"] |= {"epochs": 6, "arguments": {"bf16": True}}

    final = train(keras_settings).final

    assert final.best_checkpoint
    assert float(final.best_checkpoint.value) > 0.9


def test_a_loss_that_is_not_finite_is_never_saved(
    keras_settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    original, calls = keras.Model.compute_loss, []

    def compute_loss(self: Any, **arguments: Any) -> Any:
        calls.append(arguments)
        return original(self, **arguments) * (math.nan if len(calls) > 8 else 1)

    monkeypatch.setattr(keras.Model, "compute_loss", compute_loss)
    keras_settings["checkpoints"] = {"strategy": "steps", "steps": 4}
    keras_settings["training"]["arguments"] = {"logging_steps": 100}
    del keras_settings["evaluation"]

    ended = train(keras_settings)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.message) == (
        ExitCode.LOSS_NOT_FINITE,
        "loss is nan at step 8; the last finite one was seen at step 4",
    )
    assert [checkpoint.step for checkpoint in ended.final.checkpoints] == [4]


def test_a_model_that_kerashub_would_change_is_refused_before_the_first_step(
    keras_settings: Settings, train: Train, tmp_path: Path, steady: Path
) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(steady)
    model.config.is_decoder = True  # each token sees those before it alone
    model.save_pretrained(tmp_path / "decoder")
    transformers.AutoTokenizer.from_pretrained(steady).save_pretrained(tmp_path / "decoder")
    keras_settings["model"]["source"] = f"file://{tmp_path}/decoder"

    ended = train(keras_settings)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "ModelNotSupported")
    assert "BertTextClassifier answers other than" in ended.final.failure.message


def test_a_batch_that_the_memory_does_not_take_is_halved_and_the_steps_stay(
    keras_settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.engines.keras.engine import _Classifier

    original = _Classifier.train_step

    def train_step(self: Any, data: Any) -> Any:
        if max(len(labels) for labels in data[1]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return original(self, data)

    monkeypatch.setattr(_Classifier, "train_step", train_step)

    ended = train(keras_settings)

    assert ended.final.progress
    assert (ended.code, ended.final.progress.total_steps) == (0, 24)
    assert [(change.step, change.reason) for change in ended.final.adjustments] == [(1, "CudaOutOfMemory")]
