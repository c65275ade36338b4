"""What is counted in steps and does not fit into the run is reported before its first step."""

import logging
from typing import Any

import pytest

from finetune_api.run import RunConfig
from finetune_trainer.run.preflight.odd_steps import warn_of_odd_steps
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.run_plan import make_plan


def warnings(caplog: pytest.LogCaptureFixture, **changes: Any) -> list[str]:
    settings = {
        "kind": "RunConfig",
        "task": "text-classification",
        "model": {"source": "org/model"},
        "dataset": {"source": "org/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "output": {"uri": "file:///out"},
        **changes,
    }
    config = RunConfig.model_validate(settings)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "finetune_trainer.base.run_warnings"):
        given = check_arguments(config.training.arguments)
        batch = BatchPlan.from_settings(config.training.batch_size, given)
        plan = make_plan(config, given, find_device(use_cpu=True, processes=1), 100, batch)
        warn_of_odd_steps(config, plan.arguments, total_steps=100)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("steps", [100, 500])
def test_a_warmup_as_long_as_the_run_is_reported(caplog: pytest.LogCaptureFixture, steps: int) -> None:
    told = warnings(caplog, training={"arguments": {"warmup_steps": steps}})

    assert len(told) == 1
    assert f"rises over {steps} steps, and the run has 100" in told[0]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"warmup_steps": 99}, {"warmup_steps": 0.5}, {"warmup_steps": 500, "lr_scheduler_type": "constant"}],
)
def test_a_warmup_that_ends_is_not_reported(caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]) -> None:
    assert warnings(caplog, training={"arguments": arguments}) == []


def test_evaluations_and_checkpoints_beyond_the_end_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    every = {"strategy": "steps", "steps": 500}

    told = warnings(caplog, evaluation=every, checkpoints=every)

    assert [text.partition(":")[0] for text in told] == ["evaluation.steps", "checkpoints.steps"]
    assert warnings(caplog, evaluation={**every, "steps": 100}, checkpoints={**every, "steps": 100}) == []
