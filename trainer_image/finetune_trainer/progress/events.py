"""What an engine reports while it trains, and what it may ask: all that engines see of this folder."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.metrics.by_class import ByClass

LOSS_AND_GRADIENT = ("loss", "grad_norm")
"""Metrics of a log that must be finite."""


class TrainingEvents(Protocol):
    """One training, from `begin` to `end`.

    `step` counts optimizer steps from 1; 0 is the pretrained model. `epoch` counts passes over the training rows and
    may be a fraction. Of several processes each reports all events, in the same order.
    """

    @property
    def stop_requested(self) -> bool:
        """Whether the run was asked to stop, as of the last `step` or `ask_to_stop`: the same in all processes."""

    @property
    def stopped_early(self) -> bool:
        """Whether an evaluation was the last by evaluation.patience: save that step and train no other."""

    @property
    def is_evaluating(self) -> bool:
        """Whether the run is within `evaluating`, or failed there."""

    @property
    def scratch(self) -> Path:
        """An empty folder beside the checkpoints, removed when the run ends."""

    def ask_to_stop(self) -> bool:
        """Return whether to stop now. All processes must ask at the same time."""

    def is_logged(self, step: int) -> bool:
        """Return whether the history has a log of `step`."""

    def is_evaluated(self, step: int) -> bool:
        """Return whether the history has an evaluation of `step`."""

    def is_saved(self, step: int) -> bool:
        """Return whether `step` has the newest checkpoint, or is being saved."""

    def begin(self, step: int, total_steps: int, epoch: float, rows: int) -> None:
        """Start after `step`, 0 or that of a checkpoint. `rows` is the number of training rows."""

    def step(self, step: int, epoch: float) -> None:
        """Report an optimizer step.

        Raises:
            TrainerError: The save that ran in the background failed.
        """

    def log(
        self, step: int, epoch: float, metrics: dict[str, float], finite: tuple[str, ...] = LOSS_AND_GRADIENT
    ) -> None:
        """Report metrics of the training since the last log, among them the loss.

        Raises:
            TrainerError: LOSS_NOT_FINITE when one of `finite` is nan or infinite.
        """

    def evaluating(self, rows: int) -> AbstractContextManager[None]:
        """Report that an evaluation of `rows` rows runs within the context."""

    def evaluated(self, step: int, epoch: float, metrics: dict[str, float], by_class: ByClass | None = None) -> None:
        """Report metrics on the evaluation rows, named eval_loss, eval_accuracy, …, and those of each class.

        Raises:
            TrainerError: LOSS_NOT_FINITE when the loss is nan or infinite. Other metrics are left out then.
        """

    def check_finite(self, step: int, metrics: dict[str, float]) -> None:
        """Check the metrics of a step that is to be saved.

        Raises:
            TrainerError: LOSS_NOT_FINITE when a value is nan or infinite.
        """

    def save(self, snapshot: Snapshot) -> None:
        """Save a checkpoint, unless its step is saved. Returns once the state is copied; a thread writes it.

        Raises:
            TrainerError: The save before this one failed, or this one where no copy was possible.
        """

    def end(self) -> None:
        """Report that no step follows. Returns when no save is running; never raises what a save failed with."""
