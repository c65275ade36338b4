"""What a run changes by itself: smaller batches where memory is short, and an early end. All of it follows from the
history, so that a resumed run and its status have the same."""

import logging
from itertools import pairwise

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.status import Adjustment
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.progress.best import EarlyStop, best_metric, early_stop
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState, format_number
from finetune_trainer.settings.batch_plan import BatchPlan, describe

logger = logging.getLogger(__name__)


class Adjustments:
    """The adjustments of one run, as its history has them."""

    def __init__(self, config: RunConfig, asked: BatchPlan, history: History, state: RunState) -> None:
        self._asked = asked
        self._best_metric = best_metric(config.evaluation)
        self._patience = config.evaluation.patience
        self._history = history
        self._state = state
        self.early_stop: EarlyStop | None = None
        """The evaluation that ends the run before its last step; None where none does."""

    @property
    def batch(self) -> BatchPlan:
        """How much is in memory at a time: what the settings ask for, or the newest adjustment."""
        adjusted = self._history.adjustments()
        return BatchPlan.from_numbers(adjusted[-1].metrics) if adjusted else self._asked

    def change(self, batch: BatchPlan, newest: SavedCheckpoint | None) -> None:
        """Use other batches from `newest` on, and write that to the history, for later attempts."""
        before = self.batch
        why = (
            "the GPU's memory is not enough"
            if batch.processes == before.processes
            else "the run has another number of processes"
        )
        logger.warning("%s; going on with %s", why, describe(before, batch))
        step, epoch = (newest.step, newest.epoch) if newest else (0, 0.0)
        self._history.append("adjustment", step, epoch, batch.to_numbers())
        self.update()

    def update(self) -> None:
        """Read the history again, and report what it has."""
        if self._patience is not None and self._best_metric is not None:
            self.early_stop = early_stop(self._history.evaluations(), self._best_metric, self._patience)
        self._state.set_adjustments(
            [*self._changes(), *([self._early_end(self.early_stop)] if self.early_stop else [])]
        )

    def _changes(self) -> list[Adjustment]:
        lines = self._history.adjustments()
        plans = [self._asked, *(BatchPlan.from_numbers(line.metrics) for line in lines)]
        return [
            Adjustment(
                step=line.step + 1,
                reason=Reason.CUDA_OUT_OF_MEMORY if before.processes == after.processes else Reason.OTHER_PROCESSES,
                message=describe(before, after),
            )
            for line, (before, after) in zip(lines, pairwise(plans), strict=True)
        ]

    def _early_end(self, stop: EarlyStop) -> Adjustment:
        return Adjustment(
            step=stop.step,
            reason=Reason.EARLY_STOPPING,
            message=f"{self._best_metric} has not become better than {format_number(stop.best_value)} of step "
            f"{stop.best_step} in {self._patience} evaluations",
        )
