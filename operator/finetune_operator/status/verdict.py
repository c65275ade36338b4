"""What is decided of a job: its phase, and the one line that explains it."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.status import Failure, Phase


@dataclass(frozen=True)
class Verdict:
    """Phase, reason and message, of any length yet; with a time when the job has ended, and what to do when it failed."""

    phase: Phase
    reason: str
    message: str
    ended: datetime | None = None
    hint: str | None = None
    """What to do about a failure that is all in reason and message."""
    failure: Failure | None = None
    """A failure that its pod explains."""
    explained: bool = True
    """Whether anything explains why the job waits, if it waits."""
    again: float | None = None
    """Seconds until time alone may change the verdict; None if it may not."""

    @property
    def explained_failure(self) -> Failure | None:
        """The failure for the status; None if the job has not failed."""
        if self.phase != "Failed" or self.failure is not None:
            return self.failure
        return Failure(reason=self.reason, message=self.message, hint=self.hint)
