"""What an engine needs to train: made once by `run.prepare`."""

from dataclasses import dataclass

from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.run import RunConfig
from finetune_trainer.tasks.text_classification import Examples


@dataclass(frozen=True)
class Prepared:
    """Model and data of one run."""

    config: RunConfig
    model: PreTrainedModel
    tokenizer: Tokenizer
    label_names: list[str]
    train: Examples
    evaluation: Examples | None
    longest: int | None
    """Most tokens in a row; None where nothing bounds it."""
    use_cpu: bool
