"""The tasks by the name that spec.task gives. A new task is a file of this folder and a row here."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from finetune_api.training import Task as TaskName
from finetune_trainer.tasks.task import Task


@dataclass(frozen=True)
class Row:
    """What is known of a task without importing it."""

    module: str
    """Imported only for runs of the task: causal-lm brings trl along, which the others do without."""
    peft_type: str
    """peft's name of the task, from `peft.TaskType`."""
    libraries: tuple[str, ...] = ()
    """Distributions beside those of every task, whose versions belong to the run's provenance."""


TASKS: Final[Mapping[TaskName, Row]] = {
    "text-classification": Row("finetune_trainer.tasks.text_classification", "SEQ_CLS"),
    "token-classification": Row("finetune_trainer.tasks.token_classification", "TOKEN_CLS"),
    "causal-lm": Row("finetune_trainer.tasks.causal_lm", "CAUSAL_LM", ("trl",)),
    "seq2seq": Row("finetune_trainer.tasks.seq2seq", "SEQ_2_SEQ_LM"),
}
PEFT_TYPES: Final[Mapping[TaskName, str]] = {name: row.peft_type for name, row in TASKS.items()}


def task_named(name: TaskName) -> Task:
    """The task, its module imported."""
    return cast(Task, import_module(TASKS[name].module))
