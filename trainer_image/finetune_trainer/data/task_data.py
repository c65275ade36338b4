"""What a task makes of a data set, the same for every engine."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.data.examples import Collate, Examples
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.models.loading import Loaded
from finetune_trainer.models.pretrained import Pretrained


@dataclass(frozen=True)
class TaskData:
    """What a task makes of it."""

    train: Examples
    evaluation: Examples | None
    collate: Collate
    """To be called once a model is loaded: that of seq2seq has the model shift its targets."""
    scoring: Scoring
    load_model: Callable[[Pretrained], Loaded]
    """Loads the pretrained weights, with a head for the task, by `model.load_model`. Called after the seed is set."""
    columns: list[str]
    """Columns of the rows that the run learns from: the fingerprint is of these."""
    longest: int | None
    """Most tokens in a row; None where nothing bounds it."""
    label_names: list[str]
    """Names of the classes in the order of their ids; empty where there are none."""
