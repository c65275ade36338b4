"""What is decided of a job: its phase, and the one line that explains it."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.status import Failure, Phase
from finetune_operator.job.observation import JobState, Observation
from finetune_operator.status.waiting import waiting_for_quota


@dataclass(frozen=True)
class Verdict:
    """Phase, reason and message, of any length yet; with a time when the job has ended, and a failure when it failed."""

    phase: Phase
    reason: str
    message: str
    failure: Failure | None = None
    ended: datetime | None = None


def before_the_job(observed: Observation) -> Verdict:
    """There is no Job: what keeps it from being made, if anything does."""
    if observed.blocked is not None:
        return Verdict("Pending", observed.blocked.reason, observed.blocked.message)
    return Verdict("Pending", Reason.CREATING, "creating the Job")


def queued(job: JobState) -> Verdict:
    """The Job is suspended, and not by us."""
    cause = waiting_for_quota(job)
    return Verdict("Queued", cause.reason, cause.message)
