"""What a task gets."""

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.run import RunConfig
from finetune_trainer.data.rows import Rows
from finetune_trainer.models.pretrained import Pretrained


@dataclass(frozen=True)
class Inputs:
    """What a task gets."""

    config: RunConfig
    pretrained: Pretrained
    tokenizer: Tokenizer
    train: Rows
    evaluation: Rows | None
    use_cpu: bool
    tell: Callable[[str], None]
    """Says what is being done, for people."""
