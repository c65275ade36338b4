"""When a loop logs, evaluates and saves."""

from collections.abc import Callable
from typing import Any

from finetune_api.run import RunConfig
from finetune_trainer.engines.schedule import Schedule


def schedule(epochs: float = 2, steps_per_epoch: int = 4, logging_steps: float = 3, **settings: Any) -> Schedule:
    config = RunConfig.model_validate(
        {
            "task": "text-classification", "model": {"source": "org/name"}, "training": {"epochs": epochs},
            "dataset": {"source": "org/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
            "output": {"uri": "file:///out"}, **settings,
        }
    )  # fmt: skip
    return Schedule(config, steps_per_epoch, logging_steps)


def steps(due: Callable[[int], bool], total: int) -> list[int]:
    return [step for step in range(1, total + 1) if due(step)]


def test_by_default_epochs_end_with_a_log_an_evaluation_and_a_checkpoint() -> None:
    plan = schedule()

    assert plan.total_steps == 8
    assert steps(plan.logs, 8) == [3, 4, 6, 8]
    assert steps(plan.evaluates, 8) == [4, 8]
    assert steps(plan.saves, 8) == [4, 8]


def test_a_logging_interval_may_be_a_share_of_the_run() -> None:
    assert steps(schedule(epochs=1, steps_per_epoch=10, logging_steps=0.25).logs, 10) == [3, 6, 9, 10]


def test_what_is_due_each_few_steps_is_also_due_after_the_last_one() -> None:
    plan = schedule(evaluation={"strategy": "steps", "steps": 3}, checkpoints={"strategy": "steps", "steps": 5})

    assert steps(plan.evaluates, 8) == [3, 6, 8]
    assert steps(plan.saves, 8) == [5, 8]


def test_an_epoch_that_is_not_whole_ends_with_the_run() -> None:
    plan = schedule(epochs=1.4)

    assert plan.total_steps == 6
    assert steps(plan.saves, 6) == [4, 6]


def test_without_rows_for_it_nothing_is_evaluated() -> None:
    plan = schedule(dataset={"source": "org/data", "train": {"split": "train"}})

    assert steps(plan.evaluates, 8) == []
