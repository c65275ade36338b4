"""A new engine is one file and one row of the registry."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.trainer.test_stop_and_resume import at_step, outcome, stopped
from tests.trainer.tiny import Settings, Train

from finetune_api.run import RunConfig
from finetune_trainer import __main__ as program
from finetune_trainer.engines.registry import ENGINES, Registration
from finetune_trainer.engines.supported_arguments import SupportedArguments
from finetune_trainer.settings.load import load_config


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine `toy` is registered, and every run trains by it: the API would have to know its name, too."""

    def load(path: Path, digest: str | None) -> RunConfig:
        config = load_config(path, digest)
        training: Any = config.training.model_copy(update={"engine": "toy"})
        return config.model_copy(update={"training": training})

    monkeypatch.setitem(ENGINES, "toy", Registration("tests.trainer.toy_engine", SupportedArguments(("weight_decay",))))
    monkeypatch.setattr(program, "load_config", load)


@pytest.mark.slow
def test_a_run_trains_by_an_engine_that_is_registered(
    toy: None, settings: Settings, train: Train, tmp_path: Path
) -> None:
    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    progress, checkpoints = ended.final.progress, [checkpoint.step for checkpoint in ended.final.checkpoints]
    assert progress is not None
    assert (progress.step, progress.total_steps, checkpoints) == (96, 96, [96])
    assert [(line["kind"], line["step"]) for line in outcome(tmp_path / "out")[1]] == [("log", 96), ("evaluation", 96)]
    assert {metric.name for metric in ended.final.metrics} >= {"loss", "eval_loss", "eval_accuracy"}
    transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "model")


@pytest.mark.slow
def test_it_stops_and_goes_on_like_any_other(toy: None, settings: Settings, train: Train, tmp_path: Path) -> None:
    train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}})

    ended = stopped(settings, train, at_step(40))
    resumed = train(settings)

    assert [checkpoint.step for checkpoint in ended.final.checkpoints] == [40]
    assert (resumed.code, resumed.final.resumed_from_step) == (0, 40)
    assert outcome(tmp_path / "out")[0] == outcome(tmp_path / "whole")[0]


def test_an_argument_that_it_does_not_support_is_refused(toy: None, settings: Settings, train: Train) -> None:
    settings["training"]["arguments"] = {"weight_decay": 0.1, "max_grad_norm": 2.0}

    ended = train(settings)

    assert ended.final.failure is not None
    assert (ended.final.failure.reason, ended.final.failure.message) == (
        "ArgumentNotHonoured",
        "training.arguments.max_grad_norm: engine 'toy' does not know it",
    )
