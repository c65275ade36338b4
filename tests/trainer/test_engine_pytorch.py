"""The engine `pytorch` does what the engine `trainer` does."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.test_stop_and_resume import at_step, outcome, stopped
from tests.trainer.tiny import Settings, Train

from finetune_api.report import FinalReport


def by_engine(settings: Settings, engine: str, folder: Path, **arguments: Any) -> Settings:
    training = {**settings["training"], "engine": engine, "arguments": arguments}
    return {**settings, "training": training, "output": {"uri": f"file://{folder}/{engine}"}}


def told(final: FinalReport, folder: Path, engine: str) -> Any:
    """What stands in status, without the time, speed and place that no two runs share."""
    text = final.model_dump_json(exclude={"provenance": {"config_digest"}, "log": True}).replace(
        f"{folder}/{engine}", ""
    )
    state = json.loads(text)
    for holder in (*state["checkpoints"], state["model"]):
        holder |= dict.fromkeys(("time", "digest", "size_bytes"))
    state["progress"]["samples_per_second"] = state["preflight"]["memory"]["available"] = None
    return state


def series(final: FinalReport) -> tuple[str, ...]:
    """The names of all curves."""
    curves = final.curves
    return tuple(
        name for curve in (curves and curves.training, curves and curves.evaluation) if curve for name in curve.names
    )


@pytest.mark.slow
def test_both_engines_have_the_same_state_and_history(settings: Settings, train: Train, tmp_path: Path) -> None:
    arguments = {
        "per_device_eval_batch_size": 10, "gradient_accumulation_steps": 2, "weight_decay": 0.1, "warmup_steps": 3,
        "lr_scheduler_type": "cosine", "max_grad_norm": 0.5, "logging_steps": 4,
    }  # fmt: skip
    settings["evaluation"]["bestMetric"], settings["checkpoints"] = "loss", {"keep": 1}

    ended = {e: train(by_engine(settings, e, tmp_path, **arguments)) for e in ("trainer", "pytorch")}

    assert ended["pytorch"].code == 0
    assert [checkpoint.step for checkpoint in ended["pytorch"].final.checkpoints] == [12]
    assert series(ended["pytorch"].final) == ("loss", "learning_rate", "grad_norm", "eval_loss", "eval_accuracy")
    assert told(ended["pytorch"].final, tmp_path, "pytorch") == told(ended["trainer"].final, tmp_path, "trainer")
    lines = {engine: outcome(tmp_path / engine)[1] for engine in ended}
    assert [line["metrics"] for line in lines["pytorch"]] == [
        pytest.approx(line["metrics"], rel=1e-5) for line in lines["trainer"]
    ]


@pytest.mark.slow
def test_a_stop_within_an_epoch_changes_no_bit_of_what_comes_out(
    settings: Settings, train: Train, tmp_path: Path, model: Path
) -> None:
    arguments = {"full_determinism": True, "gradient_accumulation_steps": 2, "logging_steps": 3}
    settings = by_engine(settings, "pytorch", tmp_path, **arguments)
    train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}})

    ended = stopped(settings, train, at_step(8))
    resumed = train(settings)

    assert [checkpoint.step for checkpoint in ended.final.checkpoints] == [6, 8]
    assert (resumed.code, resumed.final.resumed_from_step) == (0, 8)
    assert outcome(tmp_path / "pytorch") == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"torch_compile": True}, "torch_compile: engine 'pytorch' does not know it"),
        ({"optim": "adafactor"}, "optim: engine 'pytorch' takes adamw_torch, adamw_torch_fused, not 'adafactor'"),
        ({"lr_scheduler_kwargs": {"cycles": 2}}, "lr_scheduler_type: 'linear' is not possible"),
    ],
)
def test_what_the_engine_does_not_honour_is_refused(
    settings: Settings, train: Train, tmp_path: Path, argument: dict[str, Any], message: str
) -> None:
    ended = train(by_engine(settings, "pytorch", tmp_path, **argument))

    assert (ended.code, ended.final.failure is not None) == (10, True)
    assert ended.final.failure is not None
    assert message in ended.final.failure.message
