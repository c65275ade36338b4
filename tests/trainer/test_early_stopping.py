"""evaluation.patience: a run that becomes no better ends early, and stays ended."""

import os
import signal
from typing import Any

import pytest
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_api.status import Adjustment
from finetune_trainer.progress.state import RunState

ENDED = [
    Adjustment(
        step=36,
        reason="EarlyStopping",
        message="eval_accuracy has not become better than 0.666667 of step 12 in 2 evaluations",
    )
]


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Learns so slowly that every evaluation is like the first: after three of ten epochs patience ends."""
    settings["training"] |= {"epochs": 10, "learningRate": 1e-9}
    settings["evaluation"] |= {"patience": 2}
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_run_that_becomes_no_better_ends_early_and_is_not_taken_up_again(
    patient: Settings, train: Train, engine: str
) -> None:
    patient["training"]["engine"] = engine

    ended, again = train(patient), train(patient)

    for run in (ended, again):
        assert (run.code, run.final.adjustments) == (0, ENDED)
        assert run.final.progress is not None
        assert (run.final.progress.step, run.final.progress.total_steps, run.final.progress.percent) == (36, 36, 100)
        assert [checkpoint.step for checkpoint in run.final.checkpoints] == [12, 24, 36]
        assert run.final.best_checkpoint is not None
        assert run.final.best_checkpoint.step == 12
    assert (again.final.resumed_from_step, again.final.model) == (36, ended.final.model)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_run_stopped_in_the_evaluation_that_would_have_ended_it_ends_there_when_resumed(
    patient: Settings, train: Train, engine: str
) -> None:
    patient["training"]["engine"] = engine
    with pytest.MonkeyPatch.context() as monkeypatch:
        original, evaluations = RunState.stage, []

        def stage(self: RunState, stage: Any, message: str | None = None) -> None:
            original(self, stage, message)
            if stage == "Evaluating":
                evaluations.append(message)
                if len(evaluations) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(RunState, "stage", stage)
        stopped = train(patient)

    resumed = train(patient)

    assert (stopped.code, stopped.final.adjustments) == (ExitCode.STOPPED, [])
    assert (resumed.code, resumed.final.resumed_from_step, resumed.final.adjustments) == (0, 36, ENDED)
    assert [checkpoint.step for checkpoint in resumed.final.checkpoints] == [12, 24, 36]
