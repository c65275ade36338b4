"""Each task that a spec can name has a row, and a module that is a task."""

import inspect
from typing import get_args

import pytest

from finetune_api.training import MAIN_METRICS, METRICS_OF_TASK
from finetune_api.training import Task as TaskName
from finetune_trainer.tasks.registry import TASKS, task_named
from finetune_trainer.tasks.task import Task


def test_each_task_of_the_spec_has_a_row_and_metrics() -> None:
    assert set(TASKS) == set(get_args(TaskName)) == set(METRICS_OF_TASK) == set(MAIN_METRICS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_a_module_with_the_functions_of_the_protocol(name: TaskName) -> None:
    task = task_named(name)

    for function in ("read", "label_column"):
        wanted, found = (list(inspect.signature(getattr(of, function)).parameters) for of in (Task, task))
        assert found == [parameter for parameter in wanted if parameter != "self"]


@pytest.mark.parametrize("row", TASKS.values(), ids=TASKS)
def test_adapters_are_of_a_type_that_peft_knows(row) -> None:
    from peft import TaskType

    assert row.peft_type in TaskType.__members__
