"""What an engine gets, and what it must do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.engines.batching import CurrentRows
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.settings.run_plan import RunPlan

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class Prepared:
    """Model and data of one run."""

    plan: RunPlan
    pretrained: Pretrained
    model: "PreTrainedModel | PeftModel"
    """Of a PEFT model only the adapter is trained and saved."""
    tokenizer: Tokenizer
    data: TaskData


class Engine(Protocol):
    """Trains one run. A class `Engine` is made of what is prepared, and of the events to report to."""

    total_steps: int
    """Optimizer steps of the whole run."""

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Train from `checkpoint`, or from the pretrained model, to the last step, or until it is asked to stop.

        Where a stop came before the evaluation of `checkpoint`, that is done first; also where no step is left.
        Reports `begin`, then for each optimizer step `step`, with `log`, `evaluated` and `save` where they are due, and
        `end` in any case. After a step with `stop_requested` or `stopped_early` it saves, and returns.

        Raises:
            torch.OutOfMemoryError: `run` makes another engine then, with smaller batches.
        """

    def current_rows(self) -> CurrentRows | None:
        """Return the rows that were trained or evaluated on when `train` raised; None where that is not known."""
