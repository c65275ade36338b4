"""How fast a training is, and how long it will take."""

import time
from dataclasses import dataclass, field

from finetune_api.status import Progress
from finetune_trainer.progress.state import format_epoch, format_number


@dataclass(frozen=True)
class Pace:
    """Measured from the first step of this attempt on."""

    total_steps: int
    rows: int
    """Training rows, of which an epoch is one pass."""
    first_step: int
    """Step that the attempt goes on from."""
    first_epoch: float
    start: float = field(default_factory=time.monotonic)
    """Seconds, of `time.monotonic`."""

    def progress(self, step: int, epoch: float, now: float) -> Progress:
        """Return the progress after `step`, with seconds left and rows a second once a step is done.

        Args:
            now: Seconds, of `time.monotonic`.
        """
        seconds = now - self.start
        done, left = step - self.first_step, self.total_steps - step
        rate = (epoch - self.first_epoch) * self.rows / seconds if done and seconds else None
        return Progress(
            step=step,
            total_steps=self.total_steps,
            epoch=format_epoch(epoch),
            percent=100 * step // self.total_steps,
            eta_seconds=round(seconds / done * left) if done else None,
            samples_per_second=format_number(round(rate, 2)) if rate is not None else None,
        )


def completed(step: int, epoch: float) -> Progress:
    """Return the progress of a training whose last step is `step`."""
    return Progress(step=step, total_steps=step, epoch=format_epoch(epoch), percent=100, eta_seconds=0)
