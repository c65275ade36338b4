"""One file an engine. Each trains the same prepared run and tells the same recorder."""

from typing import TYPE_CHECKING, Protocol

from finetune_trainer.checkpoints.store import SavedCheckpoint

if TYPE_CHECKING:
    from finetune_trainer.engines.batching import AtHand
    from finetune_trainer.prepared import Prepared
    from finetune_trainer.recorder import Recorder


class Engine(Protocol):
    """What `run` asks of an engine."""

    total_steps: int
    """Optimizer steps of the whole run."""

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        """Train from `checkpoint`, or from the pretrained model, to the last step, or until the recorder's stop.

        Where a stop came before the evaluation of `checkpoint`, that is done first; also where no step is left.
        Tells the recorder: `begin`, then for each optimizer step `step`, with `log`, `evaluated` and `save` where they
        are due, and `end` in any case. A stop that is asked for is honoured at the next step, with a save; so is the
        recorder's `early_stop` after an evaluation.

        Raises:
            torch.OutOfMemoryError: `run` makes another engine then, with smaller batches.
        """

    def at_hand(self) -> "AtHand | None":
        """The rows that were being trained or evaluated on when `train` raised; None where that is not known."""


def make_engine(prepared: "Prepared", recorder: "Recorder") -> Engine:
    """The engine that training.engine names; its libraries are imported only then."""
    match prepared.config.training.engine:
        case "trainer":
            from finetune_trainer.engines import trainer

            return trainer.Engine(prepared, recorder)
        case "pytorch":
            from finetune_trainer.engines import pytorch

            return pytorch.Engine(prepared, recorder)
        case "keras":
            from finetune_trainer.engines import keras

            return keras.Engine(prepared, recorder)
