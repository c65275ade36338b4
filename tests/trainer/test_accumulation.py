"""Small batches that are accumulated train as the large one does."""

import json
import shutil
from pathlib import Path

import pytest
import transformers
from tests.trainer.tiny import Settings, Train


@pytest.mark.slow
def test_accumulated_batches_have_the_loss_and_gradient_of_the_large_one(
    settings: Settings, train: Train, model: Path, tmp_path: Path
) -> None:
    config = transformers.AutoConfig.from_pretrained(model, attention_probs_dropout_prob=0.0)
    config.save_pretrained(shutil.copytree(model, tmp_path / "model"))
    settings["model"]["source"] = f"file://{tmp_path}/model"

    def logged(batch_size: int, accumulation: int) -> list[float]:
        settings["training"] = {
            "epochs": 0.25, "batchSize": batch_size, "learningRate": 0.005,
            "arguments": {
                "gradient_accumulation_steps": accumulation, "train_sampling_strategy": "sequential", "logging_steps": 1,
            },
        }  # fmt: skip
        settings["output"] = {"uri": f"file://{tmp_path}/{accumulation}"}
        assert train(settings).code == 0
        lines = [json.loads(line) for line in (tmp_path / f"{accumulation}/history.jsonl").read_text().splitlines()]
        logs = [line["metrics"] for line in lines if line["kind"] == "log"]
        return [value for log in logs for value in (log["loss"], log["grad_norm"])]

    at_once, accumulated = logged(16, 1), logged(4, 4)

    assert accumulated == pytest.approx(at_once, rel=1e-3)
