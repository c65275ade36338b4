"""After which steps an engine logs, evaluates and saves."""

import math
from dataclasses import dataclass

from finetune_api.run import RunConfig
from finetune_api.training import Checkpoints, Evaluation


@dataclass(frozen=True)
class Schedule:
    """Steps are optimizer steps, counted from 1. What is due each n steps is also due after the last one."""

    config: RunConfig
    steps_per_epoch: int
    logging_steps: float
    """Below 1 a share of all steps."""

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return math.ceil(self.config.training.epochs * self.steps_per_epoch)

    def logs(self, step: int) -> bool:
        """Return whether to log after `step`."""
        interval = self.logging_steps if self.logging_steps >= 1 else math.ceil(self.total_steps * self.logging_steps)
        return step % interval == 0 or self._ends_epoch(step)

    def evaluates(self, step: int) -> bool:
        """Return whether to evaluate after `step`."""
        return self.config.dataset.evaluation is not None and self._due(self.config.evaluation, step)

    def saves(self, step: int) -> bool:
        """Return whether to save a checkpoint after `step`."""
        return self._due(self.config.checkpoints, step)

    def _due(self, interval: Evaluation | Checkpoints, step: int) -> bool:
        if interval.steps is None:
            return self._ends_epoch(step)
        return step % interval.steps == 0 or step == self.total_steps

    def _ends_epoch(self, step: int) -> bool:
        return step % self.steps_per_epoch == 0 or step == self.total_steps
