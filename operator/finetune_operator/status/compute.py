"""The status of a FineTuneJob, computed from what is observed and from the time. Pure: no request, no clock."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.status.announcements.notices import notifications
from finetune_operator.status.attempts.usage import until_usage_is_known, with_late_usage
from finetune_operator.status.change import checked
from finetune_operator.status.clock_skew import capped_observation, capped_status
from finetune_operator.status.ended import status_after_the_end
from finetune_operator.status.under_way import status_under_way

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Computed:
    """The status to write, and when to look again."""

    status: FineTuneJobStatus
    explained: bool = True
    """Whether anything explains why the job waits, if it waits."""
    again: float | None = None
    """Seconds until time alone may change the status; None if it may not."""


def compute(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Computed:
    """The status to write, which is one that the API server takes, whatever the pods reported, and when to look again.

    What has ended stays as it is: terminal means terminal. What its pods use until they end as well is added.
    """
    while True:
        try:
            return _compute(finetunejob, observed, now)
        except Exception as error:
            if not observed.reporting:
                raise
            logger.warning(
                "%s: what its pods reported cannot be digested, and is dropped", finetunejob.key, exc_info=error
            )
            observed = observed.without_reports(observed.reporting, f"all of it ({type(error).__name__})")


def _compute(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Computed:
    observed = capped_observation(observed, now)
    if not finetunejob.terminal:
        finetunejob = replace(finetunejob, status=capped_status(finetunejob.status, now))
    before, explained, again = finetunejob.status, True, None
    if finetunejob.terminal:
        after = status_after_the_end(before, finetunejob.generation, observed.released)
        after = with_late_usage(finetunejob, observed, after, now)
        again = until_usage_is_known(finetunejob, observed, now)
    else:
        after, verdict = status_under_way(finetunejob, observed, now)
        explained, again = verdict.explained, verdict.again
    notified = notifications(finetunejob, after.phase, observed.tried)
    return Computed(checked(before, after.model_copy(update={"notifications": notified})), explained, again)
